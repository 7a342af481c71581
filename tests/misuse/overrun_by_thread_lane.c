/* One byte past the end of a block of the thread's own lane.
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
    char *last = NULL;
    for (int i = 0; i < 100; i++)
        memset(last = must(tsmbr_allocate(&r, 21, 1)), i, 21);
#ifndef RIGHT
    ((volatile char *)last)[21] = 1;
#endif
    tsmbr_destroy(&r);
}
