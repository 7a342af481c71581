/* chunk.h - carving blocks out of one chunk, and getting and giving back its memory.
 *
 * Nothing here knows which chunk is current: see resource.c. */
#ifndef TSMBR_CHUNK_H
#define TSMBR_CHUNK_H

#include "steps.h"

/* For chunk_carve: try until there is no room. */
#define CHUNK_INSIST SIZE_MAX

/* Alignment asked of the upstream. Blocks are placed by address, so more is never needed. */
#define CHUNK_ALIGNMENT _Alignof(max_align_t)

/* Carve a block from c: LoadNext, then CarveWon or CarveLost until it is won, there is no room, or
 * it was lost `attempts` times. c may be any published chunk, current or not. Adds CarveLost steps
 * to *lost.
 *
 * Returns the block, or NULL with nothing changed.
 * Progress: lock-free; each CarveLost is another thread's CarveWon, GrowWon or ShrinkWon. */
static inline void *chunk_carve(chunk *c, size_t bytes, size_t alignment, size_t attempts, size_t *lost)
{
    /* Constant since the chunk was published: read once, not again after each loss, when the line
     * is elsewhere. */
    unsigned char *start = c->allocation_ptr;
    size_t capacity = c->capacity;
    size_t seen = next_load_relaxed(c);
    size_t offset = 0;
    size_t end = 0;
    while (place_fit((size_t)(uintptr_t)start, capacity, seen, bytes, alignment, &offset, &end)) {
        if (next_cas_acquire(c, &seen, end)) {
            ENSURE(((uintptr_t)start + offset) % alignment == 0 && end <= capacity);
            return start + offset;
        }
        ++*lost;
        if (--attempts == 0)
            break;
    }
    return NULL;
}

/* chunk_carve on an empty chunk no other thread can see: no step, never lost. */
static inline void *chunk_carve_private(chunk *c, size_t bytes, size_t alignment)
{
    size_t offset = 0;
    size_t end = 0;
    if (!place_fit(chunk_base(c), c->capacity, 0, bytes, alignment, &offset, &end))
        return NULL;
    next_store_relaxed(c, end);
    return c->allocation_ptr + offset;
}

/* Whether ptr points into what c has handed out. */
static inline bool chunk_owns(const chunk *c, const void *ptr)
{
    size_t address = (size_t)(uintptr_t)ptr;
    return address >= chunk_base(c) && address - chunk_base(c) < next_load_relaxed(c);
}

/* Ask the upstream for a chunk of `total` bytes, empty and in no list. NULL if it refuses, or
 * grants memory that cannot hold a record, which it gets back. */
chunk *tsmbr_chunk_obtain(const tsmbr_upstream *upstream, size_t total);

/* Give a chunk that no other thread can see back to the upstream it came from. */
void tsmbr_chunk_give_back(const tsmbr_upstream *upstream, chunk *c);

#endif
