/* tsmbr_on_release on a resource that was destroyed: the line names what the program called.
 *
 * expect debug: tsmbr: tsmbr_on_release\(0x[0-9a-f]+\): the resource was destroyed; call tsmbr_init before it is
 * used again
 */
#include "misuse.h"

int main(void)
{
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    if (tsmbr_on_release(&r, free, NULL) != 0)
        return 3;
    tsmbr_destroy(&r);
#ifdef RIGHT
    tsmbr_init(&r, NULL);
#endif
    if (tsmbr_on_release(&r, free, NULL) != 0)
        return 3;
    tsmbr_destroy(&r);
}
