/* A resource that is copied after its first use.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): the resource was copied or moved after tsmbr_init or its
 * first use; leave it where it is and pass a pointer
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    must(tsmbr_allocate(&r, 8, 8));
#ifndef RIGHT
    tsmbr_resource copy = r;
    must(tsmbr_allocate(&copy, 8, 8));
#endif
    tsmbr_destroy(&r);
}
