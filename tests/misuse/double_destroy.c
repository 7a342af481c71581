/* A resource destroyed twice.
 *
 * expect debug: tsmbr: tsmbr_destroy\(0x[0-9a-f]+\): the resource was destroyed; call tsmbr_init before it is used
 * again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    must(tsmbr_allocate(&r, 8, 8));
    tsmbr_destroy(&r);
#ifndef RIGHT
    tsmbr_destroy(&r);
#endif
}
