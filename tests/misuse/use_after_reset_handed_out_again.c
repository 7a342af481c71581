/* A block after a reset, when its bytes would be another block's by now.
 *
 * expect asan: ERROR: AddressSanitizer: heap-use-after-free
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.flags = TSMBR_NO_RECYCLE};
    tsmbr_init(&r, &config);
    char *before = must(tsmbr_allocate(&r, 100, 1));
    memset(before, 1, 100);
    tsmbr_reset(&r, SIZE_MAX);
    char *after = must(tsmbr_allocate(&r, 100, 1));
    memset(after, 1, 100);
#ifdef RIGHT
    use(after);
#else
    use(before);
#endif
    tsmbr_destroy(&r);
}
