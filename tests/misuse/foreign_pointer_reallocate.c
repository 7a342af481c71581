/* A pointer that is not the resource's.
 *
 * expect debug: tsmbr: tsmbr_reallocate\(0x[0-9a-f]+\): 64 bytes at 0x[0-9a-f]+ are no block that the resource has
 * handed out since its last release or reset; pass a block of its own with its present size
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    static char foreign[64];
    char *block = must(tsmbr_allocate(&r, 64, 8));
    memset(block, 0, 64);
#ifndef RIGHT
    block = foreign;
#endif
    use(foreign);
    must(tsmbr_reallocate(&r, block, 64, 96, 8));
    tsmbr_destroy(&r);
}
