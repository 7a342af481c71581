/* A block after release.
 *
 * expect asan: ERROR: AddressSanitizer: (heap-use-after-free|use-after-poison)
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    char *block = must(tsmbr_allocate(&r, 100, 1));
    memset(block, 1, 100);
    use(block);
    tsmbr_release(&r);
#ifndef RIGHT
    branch_on(block);
#endif
    tsmbr_destroy(&r);
}
