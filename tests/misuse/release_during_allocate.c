/* One thread releases while another is in the middle of a call.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): the same resource was released, reset, reserved or destroyed
 * during this call; let all calls end before that
 */
#include "misuse.h"

static tsmbr_resource r;

static void *release(void *argument)
{
#ifndef RIGHT
    tsmbr_release(&r);
#endif
    return argument;
}

int main(void)
{
    interlude i;
    interlude_open(&i, release, NULL);
    tsmbr_config config = {.upstream = &i.upstream};
    tsmbr_init(&r, &config);
    must(tsmbr_allocate(&r, 8, 8));
    tsmbr_destroy(&r);
}
