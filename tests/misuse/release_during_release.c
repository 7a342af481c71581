/* Two threads release at once.
 *
 * expect debug: tsmbr: tsmbr_reset\(0x[0-9a-f]+\): tsmbr_release of the same resource runs in another thread; let
 */
#include "misuse.h"

static tsmbr_resource r = TSMBR_RESOURCE_INIT;

static void *reset(void *argument)
{
#ifndef RIGHT
    tsmbr_reset(&r, 0);
#endif
    return argument;
}

static void during(void *argument)
{
    pthread_join(start(reset, argument), NULL);
}

int main(void)
{
    if (tsmbr_on_release(&r, during, NULL) != 0)
        return 3;
    tsmbr_release(&r);
    tsmbr_destroy(&r);
}
