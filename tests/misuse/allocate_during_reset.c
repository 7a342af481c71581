/* One thread allocates while another resets.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): tsmbr_reset of the same resource runs in another thread; let
 * all calls end before it
 */
#include "misuse.h"

static tsmbr_resource r;

static void *allocate(void *argument)
{
#ifndef RIGHT
    must(tsmbr_allocate(&r, 8, 8));
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_in_cleanup(&i, allocate, &r);
    tsmbr_reset(&r, 0);
    tsmbr_destroy(&r);
}
