/* An explicit lane after a reset of its resource.
 *
 * expect debug: tsmbr: tsmbr_lane_allocate\(0x[0-9a-f]+\): its resource was released or reset since the lane was
 * opened; call tsmbr_lane_open again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    tsmbr_lane lane;
    tsmbr_lane_open(&lane, &r);
    must(tsmbr_lane_allocate(&lane, 8, 8));
    tsmbr_reset(&r, SIZE_MAX);
#ifdef RIGHT
    tsmbr_lane_open(&lane, &r);
#endif
    must(tsmbr_lane_allocate(&lane, 8, 8));
    tsmbr_lane_close(&lane);
    tsmbr_destroy(&r);
}
