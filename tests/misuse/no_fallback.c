/* A wrapped resource that has nobody to ask.
 *
 * expect debug: tsmbr: tsmbr_allocate_or_call\(0x[0-9a-f]+\): there is no fallback; set otherwise before the first
 * call
 */
#include "misuse.h"

static void *refuse(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
    (void)alignment;
    return NULL;
}

int main(void)
{
    tsmbr_wrapped w = {.otherwise = NULL};
    must(tsmbr_allocate(&w.resource, 8, 8));
#ifdef RIGHT
    w.otherwise = refuse;
#endif
    (void)refuse;
    must(tsmbr_allocate_or_call(&w, 8, 8));
    tsmbr_destroy(&w.resource);
}
