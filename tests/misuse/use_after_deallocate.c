/* A block after its owner has said that it is done with it.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    char *block = must(tsmbr_allocate(&r, 64, 8));
    memset(block, 1, 64);
#ifndef RIGHT
    tsmbr_deallocate(&r, block, 64, 8);
#endif
    branch_on(block);
    tsmbr_destroy(&r);
}
