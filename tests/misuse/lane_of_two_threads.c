/* One explicit lane in the hands of two threads at once.
 *
 * expect debug: tsmbr: tsmbr_lane_allocate\(0x[0-9a-f]+\): the lane is used by two threads at once, or by a
 * handler that interrupts its user; give each its own
 */
#include "misuse.h"

static tsmbr_resource r;
static tsmbr_lane lane;

static void *allocate(void *argument)
{
#ifndef RIGHT
    must(tsmbr_lane_allocate(&lane, 8, 8));
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_open(&i, allocate, NULL);
    tsmbr_config config = {.upstream = &i.upstream};
    tsmbr_init(&r, &config);
    tsmbr_lane_open(&lane, &r);
    must(tsmbr_lane_allocate(&lane, 8, 8));
    tsmbr_lane_close(&lane);
    tsmbr_destroy(&r);
}
