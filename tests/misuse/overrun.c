/* One byte past the end of a block, into its neighbour.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect valgrind: Invalid write of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.flags = TSMBR_RED_ZONES};
    tsmbr_init(&r, &config);
    char *first = must(tsmbr_allocate(&r, 13, 1));
    char *second = must(tsmbr_allocate(&r, 13, 1));
    memset(first, 1, 13);
    memset(second, 2, 13);
#ifndef RIGHT
    ((volatile char *)first)[13] = 1;
#endif
    tsmbr_destroy(&r);
}
