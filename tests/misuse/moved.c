/* A resource that is moved after tsmbr_init, before it has served anything.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): the resource was copied or moved after tsmbr_init or its
 * first use; leave it where it is and pass a pointer
 */
#include "misuse.h"

static tsmbr_resource make(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
#ifndef RIGHT
    tsmbr_init(&r, NULL);
#endif
    return r;
}

int main(void)
{
    tsmbr_resource r[2] = {TSMBR_RESOURCE_INIT, TSMBR_RESOURCE_INIT};
    r[1] = make();
    must(tsmbr_allocate(&r[1], 8, 8));
    tsmbr_destroy(&r[1]);
}
