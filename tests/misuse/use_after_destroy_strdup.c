/* tsmbr_strdup on a resource that was destroyed: the line names what the program called.
 *
 * expect debug: tsmbr: tsmbr_strdup\(0x[0-9a-f]+\): the resource was destroyed; call tsmbr_init before it is used
 * again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    must(tsmbr_strdup(&r, "text"));
    tsmbr_destroy(&r);
#ifdef RIGHT
    tsmbr_init(&r, NULL);
#endif
    must(tsmbr_strdup(&r, "text"));
    tsmbr_destroy(&r);
}
