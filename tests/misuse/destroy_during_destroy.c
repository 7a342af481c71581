/* Two threads destroy at once.
 *
 * expect debug: tsmbr: tsmbr_destroy\(0x[0-9a-f]+\): tsmbr_destroy of the same resource runs in another thread;
 * let all calls end before it
 */
#include "misuse.h"

static tsmbr_resource r;

static void *destroy(void *argument)
{
#ifndef RIGHT
    tsmbr_destroy(&r);
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_in_cleanup(&i, destroy, &r);
    tsmbr_destroy(&r);
}
