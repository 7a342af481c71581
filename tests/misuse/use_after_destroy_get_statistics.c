/* tsmbr_get_statistics on a resource that was destroyed.
 *
 * expect debug: tsmbr: tsmbr_get_statistics\(0x[0-9a-f]+\): the resource was destroyed; call tsmbr_init before it
 * is used again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    must(tsmbr_allocate(&r, 8, 8));
    tsmbr_destroy(&r);
#ifdef RIGHT
    tsmbr_init(&r, NULL);
#endif
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    tsmbr_destroy(&r);
}
