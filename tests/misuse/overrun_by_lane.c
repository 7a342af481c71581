/* One byte past the end of a block of an explicit lane.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect valgrind: Invalid write of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.initial_size = 1 << 20, .flags = TSMBR_RED_ZONES};
    tsmbr_init(&r, &config);
    tsmbr_lane lane;
    tsmbr_lane_open(&lane, &r);
    char *last = NULL;
    for (int i = 0; i < 100; i++)
        memset(last = must(tsmbr_lane_allocate(&lane, 21, 1)), i, 21);
#ifndef RIGHT
    ((volatile char *)last)[21] = 1;
#endif
    tsmbr_lane_close(&lane);
    tsmbr_destroy(&r);
}
