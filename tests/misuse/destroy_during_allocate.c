/* One thread destroys while another is in the middle of a call.
 *
 * expect debug: tsmbr: tsmbr_allocate_from\(0x[0-9a-f]+\): the same resource was released, reset, reserved or
 * destroyed during this call; let all calls end before that
 */
#include "misuse.h"

static tsmbr_resource r;

static void *destroy(void *argument)
{
#ifndef RIGHT
    tsmbr_destroy(&r);
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_open(&i, destroy, NULL);
    must(tsmbr_allocate_from(&r, 8, 8, &i.upstream));
    tsmbr_destroy(&r);
}
