/* An explicit lane of a resource that was destroyed and made again.
 *
 * expect debug: tsmbr: tsmbr_lane_allocate\(0x[0-9a-f]+\): its resource was released or reset since the lane was
 * opened; call tsmbr_lane_open again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_init(&r, NULL);
    tsmbr_lane lane;
    tsmbr_lane_open(&lane, &r);
    must(tsmbr_lane_allocate(&lane, 8, 8));
    tsmbr_destroy(&r);
    tsmbr_init(&r, NULL);
#ifdef RIGHT
    tsmbr_lane_open(&lane, &r);
#endif
    must(tsmbr_lane_allocate(&lane, 8, 8));
    tsmbr_destroy(&r);
}
