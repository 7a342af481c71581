/* allocators.c - malloc, a bump arena behind a mutex, and the shared resource. */
#include "allocators.h"

#include <stdlib.h>
#include <string.h>

#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 33)
#define HAVE_MALLINFO2 1
#include <malloc.h>
#endif
#endif

/* ---------------------------------------------------------------------------------------- malloc -- */

/* What malloc has from the system, all its arenas together; 0 if it does not tell. */
static size_t malloc_footprint(void)
{
#if defined(HAVE_MALLINFO2)
    struct mallinfo2 info = mallinfo2();
    return info.arena + info.hblkhd;
#else
    return 0;
#endif
}

static bool malloc_open(allocator *self, size_t limit)
{
    (void)limit;
    self->as.baseline = malloc_footprint();
    return true;
}

static void *malloc_allocate(allocator *self, size_t bytes, size_t alignment)
{
    (void)self;
    (void)alignment; /* never more than that of max_align_t */
    return malloc(bytes);
}

static void malloc_free(allocator *self, void *ptr)
{
    (void)self;
    free(ptr);
}

static holding malloc_held(const allocator *self)
{
    size_t now = malloc_footprint();
    return (holding){now > self->as.baseline ? now - self->as.baseline : UNKNOWN, UNKNOWN};
}

static void malloc_teardown(allocator *self)
{
    (void)self;
}

/* ----------------------------------------------------------------------------------------- mutex -- */

/* Chunks grow as the library's do: as much again as is held, within these bounds. */
#define MUTEX_CHUNK_FIRST ((size_t)2048)
#define MUTEX_CHUNK_MOST ((size_t)16 << 20)

struct mutex_chunk {
    mutex_chunk *previous;
    max_align_t bytes[];
};

static bool mutex_open(allocator *self, size_t limit)
{
    (void)limit;
    mutex_arena *a = &self->as.arena;
    *a = (mutex_arena){.last = NULL};
    return pthread_mutex_init(&a->mutex, NULL) == 0;
}

/* A chunk with room for `bytes` at least. */
static bool mutex_grow(mutex_arena *a, size_t bytes)
{
    size_t size = a->held < MUTEX_CHUNK_FIRST ? MUTEX_CHUNK_FIRST : a->held;
    if (size > MUTEX_CHUNK_MOST)
        size = MUTEX_CHUNK_MOST;
    if (bytes > SIZE_MAX - sizeof(mutex_chunk))
        return false;
    if (size < bytes + sizeof(mutex_chunk))
        size = bytes + sizeof(mutex_chunk);
    mutex_chunk *chunk = malloc(size);
    if (chunk == NULL)
        return false;
    chunk->previous = a->last;
    a->last = chunk;
    a->next = (unsigned char *)chunk->bytes;
    a->end = (unsigned char *)chunk + size;
    a->held += size;
    a->chunks += 1;
    return true;
}

static void *mutex_carve(mutex_arena *a, size_t bytes, size_t alignment)
{
    size_t padding = (0 - (uintptr_t)a->next) & (alignment - 1);
    size_t room = (size_t)(a->end - a->next);
    if (padding > room || bytes > room - padding) {
        if (!mutex_grow(a, bytes))
            return NULL;
        padding = 0; /* a chunk starts aligned for everything asked here */
    }
    void *block = a->next + padding;
    a->next += padding + bytes;
    return block;
}

static void *mutex_allocate(allocator *self, size_t bytes, size_t alignment)
{
    mutex_arena *a = &self->as.arena;
    if (pthread_mutex_lock(&a->mutex) != 0)
        return NULL;
    void *block = mutex_carve(a, bytes, alignment);
    (void)pthread_mutex_unlock(&a->mutex);
    return block;
}

static holding mutex_held(const allocator *self)
{
    return (holding){self->as.arena.held, self->as.arena.chunks};
}

static void mutex_teardown(allocator *self)
{
    mutex_arena *a = &self->as.arena;
    while (a->last != NULL) {
        mutex_chunk *previous = a->last->previous;
        free(a->last);
        a->last = previous;
    }
    (void)pthread_mutex_destroy(&a->mutex);
}

/* ----------------------------------------------------------------------------------------- tsmbr -- */

static bool tsmbr_open(allocator *self, size_t limit)
{
    return tsmbr_init(&self->as.resource, &(tsmbr_config){.limit = limit}) == 0;
}

static void *shared_allocate(allocator *self, size_t bytes, size_t alignment)
{
    return tsmbr_allocate(&self->as.resource, bytes, alignment);
}

static holding tsmbr_held(const allocator *self)
{
    tsmbr_statistics statistics;
    tsmbr_get_statistics(&self->as.resource, &statistics);
    return (holding){statistics.reserved_bytes, statistics.chunks};
}

static void tsmbr_teardown(allocator *self)
{
    tsmbr_release(&self->as.resource);
}

/* ----------------------------------------------------------------------------------------- types -- */

static const allocator_type type_malloc = {
    "malloc", malloc_open, malloc_allocate, malloc_free, malloc_held, malloc_teardown,
};
static const allocator_type type_mutex = {
    "mutex", mutex_open, mutex_allocate, NULL, mutex_held, mutex_teardown,
};
static const allocator_type type_tsmbr = {
    "tsmbr", tsmbr_open, shared_allocate, NULL, tsmbr_held, tsmbr_teardown,
};

const allocator_type *const allocator_types[ALLOCATOR_TYPES] = {&type_malloc, &type_mutex, &type_tsmbr};

const allocator_type *allocator_find(const char *name)
{
    for (size_t i = 0; i < ALLOCATOR_TYPES; i++)
        if (strcmp(allocator_types[i]->name, name) == 0)
            return allocator_types[i];
    return NULL;
}
