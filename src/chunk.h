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
/*@ requires shared(c) && lists_ok && \valid(lost) && apart((char *)lost, sizeof(*lost));
  @ requires 0 < bytes && power_of_two(alignment) && won == \null;
  @ assigns TAKEN, *lost;
  @ ensures lists_ok;
  @ ensures no: \result == \null ==> won == \null;
  @ ensures yes: \result != \null ==> won == c && took(\result, bytes, alignment);
  @*/
static inline void *chunk_carve(chunk *c, size_t bytes, size_t alignment, size_t attempts, size_t *lost)
{
    /* Constant since the chunk was published: read once, not again after each loss, when the line
     * is elsewhere. */
    unsigned char *start = c->allocation_ptr;
    size_t capacity = c->capacity;
    size_t seen = next_load_relaxed(c);
    size_t offset = 0;
    size_t end = 0;
    /*@ loop invariant seen <= capacity && won == \null && lists_ok;
      @ loop assigns seen, offset, end, attempts, *lost, TAKEN;
      @*/
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
/*@ requires private(c) && lists_ok && 0 < bytes && power_of_two(alignment);
  @ assigns c->next;
  @ ensures lists_ok;
  @ ensures no: \result == \null ==> c->next == \old(c->next) &&
  @     \forall integer o; !fits(base(c), c->capacity, 0, bytes, alignment, o);
  @ ensures yes: \result != \null ==> filled(c) && c->next - bytes < alignment &&
  @     fits(base(c), c->capacity, 0, bytes, alignment, c->next - bytes) &&
  @     (unsigned char *)\result == c->allocation_ptr + (c->next - bytes);
  @*/
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
/*@ requires shared(c) && lists_ok;
  @ assigns \nothing;
  @ ensures \result ==> base(c) <= (size_t)(uintptr_t)ptr < base(c) + c->capacity;
  @*/
static inline bool chunk_owns(const chunk *c, const void *ptr)
{
    size_t address = (size_t)(uintptr_t)ptr;
    return address >= chunk_base(c) && address - chunk_base(c) < next_load_relaxed(c);
}

/* Ask the upstream for a chunk of `total` bytes, empty and in no list. NULL if it refuses, or
 * grants memory that cannot hold a record, which it gets back. */
/*@ requires upstream_ok(upstream) && lists_ok && total == unsettled && borrowed == \null;
  @ assigns borrowed, borrowed_bytes, errno, STORE;
  @ ensures lists_ok;
  @ ensures no: \result == \null ==> borrowed == \null;
  @ ensures yes: \result != \null ==> private(\result) && \result->next == 0 && \result->prev == \null &&
  @     \result->allocation_size == total;
  @*/
chunk *tsmbr_chunk_obtain(const tsmbr_upstream *upstream, size_t total);

/* Give a chunk that no other thread can see back to the upstream it came from. */
/*@ requires upstream_ok(upstream) && private(c);
  @ assigns borrowed, borrowed_bytes, errno;
  @ ensures borrowed == \null;
  @*/
void tsmbr_chunk_give_back(const tsmbr_upstream *upstream, chunk *c);

#endif
