/* Memory to which only a block pointed, whose chunk is a mapping: no leak as long as the block points to it, and
 * one from then on.
 *
 * expect asan: ERROR: LeakSanitizer: detected memory leaks
 * expect valgrind: 100 bytes in 1 blocks are definitely lost
 */
#include "misuse.h"

static tsmbr_resource r;

int main(void)
{
    tsmbr_config config = {.initial_size = (size_t)4 << 20};
    tsmbr_init(&r, &config);
    char **block = must(tsmbr_allocate(&r, sizeof *block, sizeof *block));
    *block = must(malloc(100));
    use(*block);
#ifndef RIGHT
    *block = NULL;
#endif
    return 0; /* without an end of the resource, whose blocks would end */
}
