/* upstream.c - the upstreams that come with the library. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
/* posix_memalign */
#define _POSIX_C_SOURCE 200112L // NOLINT(*-reserved-identifier,cert-dcl*): the system reads this name
#endif

#include <stddef.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <malloc.h>
#endif

#include "tsmbr.h"

/* malloc's own alignment. Above it a call of its own is needed, and on Windows a free of its own. */
static bool malloc_aligns(size_t alignment)
{
    return alignment <= _Alignof(max_align_t);
}

static void *malloc_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    if (malloc_aligns(alignment))
        return malloc(bytes);
#if defined(_WIN32)
    return _aligned_malloc(bytes, alignment);
#else
    void *ptr = NULL;
    return posix_memalign(&ptr, alignment, bytes) == 0 ? ptr : NULL;
#endif
}

static void malloc_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
#if defined(_WIN32)
    if (!malloc_aligns(alignment)) {
        _aligned_free(ptr);
        return;
    }
#else
    (void)alignment;
#endif
    free(ptr);
}

static void *null_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
    (void)alignment;
    return NULL;
}

static void null_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)ptr;
    (void)bytes;
    (void)alignment;
}

static const tsmbr_upstream malloc_upstream = {malloc_allocate, malloc_deallocate, NULL};
static const tsmbr_upstream null_upstream = {null_allocate, null_deallocate, NULL};

const tsmbr_upstream *tsmbr_malloc_upstream(void)
{
    return &malloc_upstream;
}

const tsmbr_upstream *tsmbr_null_upstream(void)
{
    return &null_upstream;
}

const tsmbr_upstream *tsmbr_system_upstream(void)
{
    return &malloc_upstream;
}
