/* Two threads release at once.
 *
 * expect debug: tsmbr: tsmbr_release\(0x[0-9a-f]+\): tsmbr_release of the same resource runs in another thread;
 * let all calls end before it
 */
#include "misuse.h"

static tsmbr_resource r;

static void *release(void *argument)
{
#ifndef RIGHT
    tsmbr_release(&r);
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_in_cleanup(&i, release, &r);
    tsmbr_release(&r);
    tsmbr_destroy(&r);
}
