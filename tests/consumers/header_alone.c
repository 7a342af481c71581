/* tsmbr.h is included first and alone: it must need nothing before it. */
#include <tsmbr.h>

#include "header_alone.h"

int header_alone_c(void)
{
    static tsmbr_resource arena = TSMBR_RESOURCE_INIT;
    size_t bytes = sizeof(max_align_t);
    bool served = tsmbr_allocate(&arena, bytes, TSMBR_ALIGNOF(max_align_t)) != NULL;
    tsmbr_destroy(&arena);
    return served && tsmbr_version() == TSMBR_VERSION;
}
