/* A decision on bytes that nobody has written.
 *
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Conditional jump or move depends on uninitialised value
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    char *block = must(tsmbr_allocate(&r, 64, 8));
#ifdef RIGHT
    memset(block, 1, 64);
#endif
    branch_on(block + 5);
    tsmbr_destroy(&r);
}
