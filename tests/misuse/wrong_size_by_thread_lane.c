/* A block of the thread's own lane resized with a size that it does not have.
 *
 * expect debug: tsmbr: tsmbr_try_resize\(0x[0-9a-f]+\): 200 bytes at 0x[0-9a-f]+ are no block that the resource
 * has handed out since its last release or reset; pass a block of its own with its present size
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.initial_size = 1 << 20};
    tsmbr_init(&r, &config);
    char *block = NULL;
    for (int i = 0; i < 100; i++)
        block = must(tsmbr_allocate(&r, 64, 8));
#ifdef RIGHT
    (void)tsmbr_try_resize(&r, block, 64, 100);
#else
    (void)tsmbr_try_resize(&r, block, 200, 300);
#endif
    tsmbr_destroy(&r);
}
