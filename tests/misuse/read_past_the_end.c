/* A decision on a byte past the end of a block. MemorySanitizer sees no more of an overrun than this.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.flags = TSMBR_RED_ZONES};
    tsmbr_init(&r, &config);
    char *first = must(tsmbr_allocate(&r, 16, 1));
    char *second = must(tsmbr_allocate(&r, 16, 1));
    memset(first, 1, 16);
    memset(second, 2, 16);
#ifdef RIGHT
    branch_on(first + 15);
#else
    branch_on(first + 16);
#endif
    tsmbr_destroy(&r);
}
