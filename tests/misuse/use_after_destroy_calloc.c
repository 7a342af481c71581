/* tsmbr_calloc on a resource that was destroyed: the line names what the program called.
 *
 * expect debug: tsmbr: tsmbr_calloc\(0x[0-9a-f]+\): the resource was destroyed; call tsmbr_init before it is used
 * again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    must(tsmbr_calloc(&r, 2, 8));
    tsmbr_destroy(&r);
#ifdef RIGHT
    tsmbr_init(&r, NULL);
#endif
    must(tsmbr_calloc(&r, 2, 8));
    tsmbr_destroy(&r);
}
