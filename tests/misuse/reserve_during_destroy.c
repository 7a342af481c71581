/* One thread reserves while another destroys.
 *
 * expect debug: tsmbr: tsmbr_reserve\(0x[0-9a-f]+\): tsmbr_destroy of the same resource runs in another thread;
 * let all calls end before it
 */
#include "misuse.h"

static tsmbr_resource r;

static void *reserve(void *argument)
{
#ifndef RIGHT
    (void)tsmbr_reserve(&r, 1000);
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_in_cleanup(&i, reserve, &r);
    tsmbr_destroy(&r);
}
