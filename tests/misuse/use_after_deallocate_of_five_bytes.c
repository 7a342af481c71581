/* A block after its owner has said that it is done with it, in a group of eight bytes that it does not fill.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.flags = TSMBR_RED_ZONES});
    char *block = must(tsmbr_allocate(&r, 5, 1));
    memset(block, 1, 5);
#ifndef RIGHT
    tsmbr_deallocate(&r, block, 5, 1);
#endif
    branch_on(block + 4);
    tsmbr_destroy(&r);
}
