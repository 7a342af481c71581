/* One thread allocates while another reserves.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): tsmbr_reserve of the same resource runs in another thread;
 * let all calls end before it
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
    interlude_open(&i, allocate, NULL);
    tsmbr_config config = {.upstream = &i.upstream};
    tsmbr_init(&r, &config);
    if (tsmbr_reserve(&r, 1000) != 0)
        return 3;
    tsmbr_destroy(&r);
}
