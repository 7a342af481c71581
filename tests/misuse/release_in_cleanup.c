/* A cleanup that releases the resource whose cleanup it is.
 *
 * expect debug: tsmbr: tsmbr_release\(0x[0-9a-f]+\): a cleanup must not end the resource whose cleanup it is;
 * leave that to the call that runs it
 */
#include "misuse.h"

static void cleanup(void *argument)
{
#ifdef RIGHT
    must(tsmbr_allocate(argument, 8, 8));
#else
    tsmbr_release(argument);
#endif
}

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    if (tsmbr_on_release(&r, cleanup, &r) != 0)
        return 3;
    tsmbr_destroy(&r);
}
