/* resource.h - what the files of the resource layer share. */
#ifndef TSMBR_RESOURCE_H
#define TSMBR_RESOURCE_H

#include "chunk.h"

#if defined(__GNUC__)
#define TSMBR_COLD __attribute__((noinline, cold))
#else
#define TSMBR_COLD
#endif

static inline const tsmbr_upstream *resource_upstream(const resource *r)
{
    return r->upstream != NULL ? r->upstream : tsmbr_system_upstream();
}

#endif
