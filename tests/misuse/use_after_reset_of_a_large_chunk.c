/* A block after a reset, when its bytes would be another block's by now, in a chunk as large as the default
 * upstream would have it mapped.
 *
 * expect asan: ERROR: AddressSanitizer: heap-use-after-free
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {
        .upstream = tsmbr_malloc_upstream(), .initial_size = 4 << 20, .flags = TSMBR_NO_RECYCLE};
    tsmbr_init(&r, &config);
    char *before = must(tsmbr_allocate(&r, 100, 1));
    memset(before, 1, 100);
    use(before);
    tsmbr_reset(&r, SIZE_MAX);
    char *after = must(tsmbr_allocate(&r, 100, 1));
    memset(after, 1, 100);
    use(after);
#ifndef RIGHT
    use(before);
#endif
    tsmbr_destroy(&r);
}
