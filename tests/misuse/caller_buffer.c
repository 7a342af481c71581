/* The caller's buffer while it is the resource's. After destroy it is the caller's again.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    enum { SIZE = 4096 };
    char *buffer = must(malloc(SIZE));
    tsmbr_resource r;
    tsmbr_config config = {.buffer = buffer, .buffer_size = SIZE};
    tsmbr_init(&r, &config);
    memset(must(tsmbr_allocate(&r, 100, 1)), 1, 100);
#ifndef RIGHT
    branch_on(buffer + 2000);
#endif
    tsmbr_destroy(&r);
    memset(buffer, 0, SIZE);
    branch_on(buffer + 2000);
    free(buffer);
}
