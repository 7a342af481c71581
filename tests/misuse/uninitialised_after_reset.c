/* The same, where the bytes had been written before a reset; and where a block grew.
 *
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Conditional jump or move depends on uninitialised value
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    memset(must(tsmbr_allocate(&r, 64, 8)), 1, 64);
    tsmbr_reset(&r, SIZE_MAX);
    char *block = must(tsmbr_allocate(&r, 32, 8));
    if (!tsmbr_try_resize(&r, block, 32, 64))
        return 3;
#ifdef RIGHT
    memset(block, 1, 64);
#endif
    branch_on(block + 45);
    tsmbr_destroy(&r);
}
