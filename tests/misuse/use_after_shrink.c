/* The bytes that a block gave up.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect valgrind: Invalid write of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    char *block = must(tsmbr_allocate(&r, 64, 8));
    memset(block, 1, 64);
    if (!tsmbr_try_resize(&r, block, 64, 32))
        return 3;
#ifndef RIGHT
    ((volatile char *)block)[40] = 1;
#endif
    if (!tsmbr_try_resize(&r, block, 32, 48))
        return 3;
    memset(block, 2, 48);
    tsmbr_destroy(&r);
}
