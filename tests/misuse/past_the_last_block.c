/* Memory of a chunk that was never handed out.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect valgrind: Invalid write of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    char *block = must(tsmbr_allocate(&r, 16, 16));
    memset(block, 1, 16);
#ifndef RIGHT
    ((volatile char *)block)[16] = 1;
#endif
    tsmbr_destroy(&r);
}
