/* One thread releases while another reserves.
 *
 * expect debug: tsmbr: tsmbr_release\(0x[0-9a-f]+\): tsmbr_reserve of the same resource runs in another thread;
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
    interlude_open(&i, release, NULL);
    tsmbr_config config = {.upstream = &i.upstream};
    tsmbr_init(&r, &config);
    if (tsmbr_reserve(&r, 1000) != 0)
        return 3;
    tsmbr_destroy(&r);
}
