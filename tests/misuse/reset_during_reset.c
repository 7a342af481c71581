/* Two threads reset at once.
 *
 * expect debug: tsmbr: tsmbr_reset\(0x[0-9a-f]+\): tsmbr_reset of the same resource runs in another thread; let
 * all calls end before it
 */
#include "misuse.h"

static tsmbr_resource r;

static void *reset(void *argument)
{
#ifndef RIGHT
    tsmbr_reset(&r, 0);
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_in_cleanup(&i, reset, &r);
    tsmbr_reset(&r, 0);
    tsmbr_destroy(&r);
}
