/* allocators.h - three ways to get memory for the index, behind one small table of functions. */
#ifndef WORD_INDEX_ALLOCATORS_H
#define WORD_INDEX_ALLOCATORS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tsmbr.h"

#define UNKNOWN SIZE_MAX

typedef struct allocator allocator;

/* What an allocator has from the system; UNKNOWN where it does not tell. */
typedef struct holding {
    size_t bytes;
    size_t chunks;
} holding;

typedef struct allocator_type {
    const char *name;
    bool (*open)(allocator *self, size_t limit);                        /* false: out of memory */
    void *(*allocate)(allocator *self, size_t bytes, size_t alignment); /* any thread */
    void (*free)(allocator *self, void *ptr); /* any thread; NULL: blocks are only freed together */
    holding (*held)(const allocator *self);   /* at rest, as teardown is */
    void (*teardown)(allocator *self);
} allocator_type;

/* A bump arena behind a mutex. */
typedef struct mutex_chunk mutex_chunk;
typedef struct mutex_arena {
    pthread_mutex_t mutex; /* guards the rest */
    mutex_chunk *last;
    unsigned char *next; /* [next, end): room in the last chunk */
    unsigned char *end;
    size_t held;
    size_t chunks;
} mutex_arena;

struct allocator {
    const allocator_type *type;
    union {
        tsmbr_resource resource;
        mutex_arena arena;
        size_t baseline; /* malloc: bytes held before */
    } as;
};

enum { ALLOCATOR_TYPES = 3 };

/* malloc, mutex, tsmbr. The first is what the others are compared with. */
extern const allocator_type *const allocator_types[ALLOCATOR_TYPES];

/* The type of that name, or NULL. */
const allocator_type *allocator_find(const char *name);

#endif
