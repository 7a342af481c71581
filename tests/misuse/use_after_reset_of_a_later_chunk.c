/* A block of the second chunk after a reset, when its bytes would be another block's by now.
 *
 * expect asan: ERROR: AddressSanitizer: heap-use-after-free
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

enum { BLOCKS = 100 };

/* The first block of the second chunk, with all chunks full of blocks that were written. */
static char *fill(tsmbr_resource *r)
{
    char *found = NULL;
    for (int i = 0; i < BLOCKS; i++) {
        char *block = must(tsmbr_allocate(r, 100, 1));
        memset(block, 1, 100);
        tsmbr_statistics s;
        tsmbr_get_statistics(r, &s);
        if (found == NULL && s.chunks >= 2)
            found = block;
    }
    return must(found);
}

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.flags = TSMBR_NO_RECYCLE};
    tsmbr_init(&r, &config);
    char *before = fill(&r);
    use(before);
    tsmbr_reset(&r, SIZE_MAX);
    char *after = fill(&r);
    use(after);
#ifndef RIGHT
    use(before);
#endif
    tsmbr_destroy(&r);
}
