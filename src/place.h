/* place.h - where things go: the arithmetic of blocks, chunks and sizes.
 *
 * Numbers only: no atomics, no pointers followed, so that a prover can read this file alone. Every
 * comparison is made by subtracting from the larger side, so nothing here wraps.
 *
 *    base                      base + next                    base + capacity
 *     |  handed out             | padding | block    | room    | record (chunks from upstream)
 *     +-------------------------+---------+----------+---------+--------+
 *                               ^ seen    ^ offset   ^ end
 *
 * Key invariant: next <= capacity, and base + capacity does not pass SIZE_MAX. */
#ifndef TSMBR_PLACE_H
#define TSMBR_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"

/* Chunk records sit on lines of this size, which no block shares. */
#define PLACE_LINE ((size_t)64)
/* Bytes set aside for a chunk record. layout.h checks that it is enough. */
#define PLACE_RECORD ((size_t)64)
/* No object is larger, so no chunk is. */
#define PLACE_CHUNK_MAX ((size_t)PTRDIFF_MAX)
/* The first chunk where nobody says otherwise, and the size at which growth stops doubling. */
#define PLACE_FIRST_DEFAULT ((size_t)2048)
#define PLACE_GROWTH_CAP ((size_t)16 << 20)

static inline bool place_alignment_ok(size_t alignment)
{
    return alignment != 0 && (alignment & (alignment - 1)) == 0;
}

/* Zero bytes are served as one, so that no two blocks share an address. */
static inline size_t place_bytes(size_t bytes)
{
    return bytes == 0 ? 1 : bytes;
}

/* Fit a block of `bytes` bytes, aligned by address, into the room after `next`. The answer is
 * exact: false only if no aligned address in the room has `bytes` bytes after it. */
static inline bool place_fit(size_t base, size_t capacity, size_t next, size_t bytes, size_t alignment,
                             size_t *offset, size_t *end)
{
    REQUIRE(place_alignment_ok(alignment));
    REQUIRE(next <= capacity && capacity <= SIZE_MAX - base);
    size_t padding = (0 - (base + next)) & (alignment - 1);
    size_t room = capacity - next;
    if (padding > room || bytes > room - padding)
        return false;
    *offset = next + padding;
    *end = next + padding + bytes;
    return true;
}

/* Where the record goes in a chunk of `total` bytes at `base`: on the last whole line. What lies
 * before it is the chunk's capacity. False if the chunk is too small or wraps. */
static inline bool place_record(size_t base, size_t total, size_t *capacity)
{
    if (total > SIZE_MAX - base || total < PLACE_RECORD)
        return false;
    size_t record = (base + total - PLACE_RECORD) & ~(PLACE_LINE - 1);
    if (record < base)
        return false;
    *capacity = record - base;
    return true;
}

/* The size of a chunk that serves one block of `bytes` bytes wherever the upstream puts the chunk:
 * the block, the padding before it, the record, the padding before that. False if that is more
 * than an object may have. */
static inline bool place_total(size_t bytes, size_t alignment, size_t *total)
{
    REQUIRE(place_alignment_ok(alignment));
    size_t extra = PLACE_RECORD + PLACE_LINE - 1;
    if (alignment - 1 > PLACE_CHUNK_MAX - extra || bytes > PLACE_CHUNK_MAX - extra - (alignment - 1))
        return false;
    *total = bytes + (alignment - 1) + extra;
    return true;
}

/* The size of the next chunk: as much again as the chain holds already, so that the whole doubles,
 * but no less than the first one and, past that, no more than the cap. */
static inline size_t place_next_total(size_t first, size_t held)
{
    size_t grown = held < PLACE_GROWTH_CAP ? held : PLACE_GROWTH_CAP;
    return grown > first ? grown : first;
}

/* The size of a first chunk that serves `initial_size` bytes; the largest there is if that
 * cannot be represented, which no upstream grants. */
static inline size_t place_first_total(size_t initial_size)
{
    size_t total = 0;
    return place_total(initial_size, 1, &total) ? total : PLACE_CHUNK_MAX;
}

/* Whether a request that needs `need` bytes of chunk leaves a chunk of `total` bytes useful for
 * others, or is better off in one of its own. */
static inline bool place_shares(size_t need, size_t total)
{
    return need <= total / 4;
}

/* count * size, or false. */
static inline bool place_product(size_t count, size_t size, size_t *product)
{
    if (size != 0 && count > SIZE_MAX / size)
        return false;
    *product = count * size;
    return true;
}

#endif
