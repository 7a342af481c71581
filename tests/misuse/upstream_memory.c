/* The upstream's memory while it is a chunk. When it has been given back it is the upstream's again.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include "misuse.h"

static void *lend(void *context, size_t bytes, size_t alignment)
{
    (void)alignment;
    return bytes <= 4096 ? context : NULL;
}

static void take_back(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    memset(ptr, 0, bytes);
}

int main(void)
{
    char *memory = must(malloc(4096));
    tsmbr_upstream upstream = {lend, take_back, memory};
    tsmbr_config config = {.upstream = &upstream};
    tsmbr_resource r;
    tsmbr_init(&r, &config);
    must(tsmbr_allocate(&r, 100, 1));
#ifndef RIGHT
    branch_on(memory + 1000);
#endif
    tsmbr_release(&r);
    branch_on(memory + 1000);
    tsmbr_destroy(&r);
    free(memory);
}
