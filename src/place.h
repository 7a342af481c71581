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
#include "hints.h"

/* Chunk records sit on lines of this size, which no block shares. */
#define PLACE_LINE ((size_t)64)
/* Bytes set aside for a chunk record. layout.h checks that it is enough. */
#define PLACE_RECORD ((size_t)64)
/* No object is larger, so no chunk is. */
#define PLACE_CHUNK_MAX ((size_t)PTRDIFF_MAX)
/* The first chunk where nobody says otherwise, and the size at which growth stops doubling. */
#define PLACE_FIRST_DEFAULT ((size_t)2048)
#define PLACE_GROWTH_CAP ((size_t)16 << 20)

/* Bytes that a lane takes at once: from the least to the most, a huge page, so that threads seldom meet in one;
 * and no more than a chunk's 64th part, or more of it where there are few lanes. But a caller's buffer of up to
 * PLACE_EQUAL_UP_TO may be all there is, and eight lanes have less than an eighth of it, whoever came first, if
 * no blocks shrink; besides, a run that is replaced may leave less than a block. */
#ifndef PLACE_RUN_LEAST /* a checker may want lanes in small chunks */
#define PLACE_RUN_LEAST ((size_t)256)
#define PLACE_RUN_MOST ((size_t)2 << 20)
#define PLACE_RUN_PART ((size_t)64)
#define PLACE_EQUAL_UP_TO ((size_t)1 << 20)
/* What part of a chunk of the upstream's a table of lanes may be. */
#define PLACE_TABLE_PART ((size_t)12)
#endif
/* Up to so many lanes take a larger part of a chunk. Beyond, they need not be counted. */
#define PLACE_FEW_LANES ((size_t)4)
/* No table of lanes is larger: layout.h checks that. */
#define PLACE_TABLE_MOST ((size_t)33 * 128)
#define PLACE_LANES_FROM (PLACE_RUN_LEAST * PLACE_RUN_PART)

/*@ assigns \nothing;
  @ ensures \result <==> power_of_two(alignment);
  @*/
static inline bool place_alignment_ok(size_t alignment)
{
    return alignment != 0 && (alignment & (alignment - 1)) == 0;
}

/* Zero bytes are served as one, so that no two blocks share an address. */
/*@ assigns \nothing;
  @ ensures \result == \max(1, bytes);
  @*/
static inline size_t place_bytes(size_t bytes)
{
    return bytes == 0 ? 1 : bytes;
}

/*@ // A block of `bytes` bytes at `offset`: aligned by address, and in the room after `next`.
  @ predicate fits(integer base, integer capacity, integer next, integer bytes, integer alignment,
  @                integer offset) =
  @     next <= offset && offset + bytes <= capacity && (base + offset) % alignment == 0;
  @*/

/* Fit a block of `bytes` bytes, aligned by address, into the room after `next`. The answer is
 * exact: false only if no aligned address in the room has `bytes` bytes after it. */
/*@ requires power_of_two(alignment);
  @ requires next <= capacity && base + capacity <= SIZE_MAX;
  @ requires \valid(offset) && \valid(end) && \separated(offset, end);
  @ assigns *offset, *end;
  @ ensures yes: \result ==> fits(base, capacity, next, bytes, alignment, *offset);
  @ ensures first: \result ==>
  @     \forall integer o; fits(base, capacity, next, bytes, alignment, o) ==> *offset <= o;
  @ ensures close: \result ==> *offset - next < alignment && *end == *offset + bytes;
  @ ensures no: !\result ==> \forall integer o; !fits(base, capacity, next, bytes, alignment, o);
  @ ensures kept: !\result ==> *offset == \old(*offset) && *end == \old(*end);
  @*/
static inline bool place_fit(size_t base, size_t capacity, size_t next, size_t bytes, size_t alignment,
                             size_t *offset, size_t *end)
{
    REQUIRE(place_alignment_ok(alignment));
    REQUIRE(next <= capacity && capacity <= SIZE_MAX - base);
    size_t padding = (0 - (base + next)) & (alignment - 1);
    /*@ assert base + next != 0 ==> (size_t)(0 - (base + next)) == SIZE_MAX + 1 - (base + next); */
    /*@ assert base + next == 0 ==> padding == 0; */
    /*@ assert base + next != 0 ==> padding == ((SIZE_MAX + 1 - (base + next)) & (alignment - 1)); */
    /*@ assert padding == padding(base + next, alignment); */
    size_t room = capacity - next;
    if (padding > room || bytes > room - padding)
        return false;
    *offset = next + padding;
    *end = next + padding + bytes;
    return true;
}

/* How far from `cursor`, an address, a block lies in a lane that has `room` bytes from there. False also
 * for no bytes, and for an alignment that is none: those go a longer way. */
/*@ requires cursor + room <= SIZE_MAX && (cursor == 0 ==> room == 0);
  @ requires \valid(padding);
  @ assigns *padding;
  @ ensures exact: \result <==> power_of_two(alignment) && 0 < bytes && padding(cursor, alignment) + bytes <= room;
  @ ensures yes: \result ==> fits(cursor, room, 0, bytes, alignment, *padding);
  @ ensures close: \result ==> *padding < alignment;
  @*/
static inline bool place_bump(size_t cursor, size_t room, size_t bytes, size_t alignment, size_t *padding)
{
    *padding = (0 - cursor) & (alignment - 1);
    /*@ assert cursor == 0 ==> *padding == 0; */
    /*@ assert alignment == 0 && cursor != 0 ==> *padding == SIZE_MAX + 1 - cursor; */
    /*@ assert power_of_two(alignment) ==> 0 < alignment && *padding == padding(cursor, alignment); */
    bool aligns = (alignment & (alignment - 1)) == 0;
    return TSMBR_LIKELY(aligns) && TSMBR_LIKELY(*padding <= room) && TSMBR_LIKELY(bytes - 1 < room - *padding);
}

/*@ // A record after the first `capacity` bytes of a chunk: on a line of its own, inside the chunk.
  @ predicate record_lies(integer base, integer total, integer capacity) =
  @     0 <= capacity && capacity + PLACE_RECORD <= total && (base + capacity) % PLACE_LINE == 0;
  @
  @ // What is left before the last such place, if there is one.
  @ logic integer room(integer base, integer total) =
  @     total - PLACE_RECORD - (base + total - PLACE_RECORD) % PLACE_LINE;
  @*/

/* Where the record goes in a chunk of `total` bytes at `base`: on the last whole line. What lies
 * before it is the chunk's capacity. False if the chunk is too small or wraps. */
/*@ requires \valid(capacity);
  @ assigns *capacity;
  @ ensures yes: \result ==> base + total <= SIZE_MAX && *capacity == room(base, total) &&
  @     record_lies(base, total, *capacity);
  @ ensures last: \result ==> \forall integer c; record_lies(base, total, c) ==> c <= *capacity;
  @ ensures no: !\result ==>
  @     base + total > SIZE_MAX || \forall integer c; !record_lies(base, total, c);
  @ ensures kept: !\result ==> *capacity == \old(*capacity);
  @*/
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

/*@ // Bytes of chunk that hold one block and the record, wherever the chunk lies.
  @ logic integer need(integer bytes, integer alignment) =
  @     bytes + (alignment - 1) + PLACE_RECORD + (PLACE_LINE - 1);
  @
  @ // They do: an empty chunk of so many bytes or more fits the block before its record.
  @ lemma need_serves: \forall integer base, total, bytes, alignment;
  @     0 <= base && 0 <= bytes && 0 < alignment && need(bytes, alignment) <= total ==>
  @         record_lies(base, total, room(base, total)) &&
  @         fits(base, room(base, total), 0, bytes, alignment, padding(base, alignment));
  @*/

/* The size of a chunk that serves one block of `bytes` bytes wherever the upstream puts the chunk:
 * the block, the padding before it, the record, the padding before that. False if that is more
 * than an object may have. */
/*@ requires power_of_two(alignment);
  @ requires \valid(total);
  @ assigns *total;
  @ ensures \result <==> need(bytes, alignment) <= PLACE_CHUNK_MAX;
  @ ensures \result ==> *total == need(bytes, alignment);
  @ ensures !\result ==> *total == \old(*total);
  @*/
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
/*@ assigns \nothing;
  @ ensures \result == \max(first, \min(held, PLACE_GROWTH_CAP));
  @*/
static inline size_t place_next_total(size_t first, size_t held)
{
    size_t grown = held < PLACE_GROWTH_CAP ? held : PLACE_GROWTH_CAP;
    return grown > first ? grown : first;
}

/* The size of a first chunk that serves `initial_size` bytes; the largest there is if that
 * cannot be represented. */
/*@ assigns \nothing;
  @ ensures \result == \min(need(initial_size, 1), PLACE_CHUNK_MAX);
  @*/
static inline size_t place_first_total(size_t initial_size)
{
    size_t total = 0;
    return place_total(initial_size, 1, &total) ? total : PLACE_CHUNK_MAX;
}

/* Whether a request that needs `need` bytes of chunk leaves a chunk of `total` bytes useful for
 * others, or is better off in one of its own. */
/*@ assigns \nothing;
  @ ensures \result <==> 4 * need <= total;
  @*/
static inline bool place_shares(size_t need, size_t total)
{
    return need <= total / 4;
}

/* What a lane may take at once, at most, of a chunk of so much capacity, lent by the caller or not, if so many
 * lanes have had a run: so few bytes that what they all leave unused is a part of the chunk, of a lent one a small
 * part. */
/*@ assigns \nothing;
  @ ensures \result == capacity / PLACE_RUN_PART *
  @     (lent && capacity <= PLACE_EQUAL_UP_TO || PLACE_FEW_LANES < lanes ? 1 : 2 < lanes ? 2 : 8);
  @ ensures \result <= capacity;
  @*/
static inline size_t place_run_part(size_t capacity, bool lent, size_t lanes)
{
    size_t part = capacity / PLACE_RUN_PART;
    if ((lent && capacity <= PLACE_EQUAL_UP_TO) || lanes > PLACE_FEW_LANES)
        return part;
    return lanes > 2 ? 2 * part : 8 * part;
}

/* How large a table of lanes may be in a chunk of so much capacity: in a buffer that may be all there is, as small
 * a part as a run. */
/*@ assigns \nothing;
  @ ensures \result == capacity / (lent ? PLACE_RUN_PART : PLACE_TABLE_PART);
  @*/
static inline size_t place_table_part(size_t capacity, bool lent)
{
    return capacity / (lent ? PLACE_RUN_PART : PLACE_TABLE_PART);
}

/* How many bytes a lane takes at once if it wants `wanted` and may take `part`: so many that one carve serves
 * many blocks. 0 if that cannot be had. */
/*@ assigns \nothing;
  @ ensures \let most = \min(part, PLACE_RUN_MOST);
  @     \result == (most < PLACE_RUN_LEAST ? 0 : \max(\max(PLACE_RUN_LEAST, most / 16), \min(wanted, most)));
  @ ensures \result <= part && \result <= PLACE_RUN_MOST;
  @*/
static inline size_t place_run(size_t wanted, size_t part)
{
    size_t most = part < PLACE_RUN_MOST ? part : PLACE_RUN_MOST;
    if (most < PLACE_RUN_LEAST)
        return 0;
    size_t least = most / 16 < PLACE_RUN_LEAST ? PLACE_RUN_LEAST : most / 16;
    return wanted < least ? least : wanted < most ? wanted : most;
}

/* What a thread's table takes, at most, from a chunk of the upstream's that has so much capacity besides. It may
 * be the 12th part of the whole, which is the 11th of the rest. More threads take more. */
/*@ assigns \nothing;
  @ ensures \result <= capacity / (PLACE_TABLE_PART - 1) && \result <= PLACE_TABLE_MOST;
  @ ensures \result == 0 <==> capacity < PLACE_LANES_FROM;
  @*/
static inline size_t place_tables(size_t capacity)
{
    if (capacity < PLACE_LANES_FROM)
        return 0;
    size_t part = capacity / (PLACE_TABLE_PART - 1);
    return part < PLACE_TABLE_MOST ? part : PLACE_TABLE_MOST;
}

/* Whether a block is so small that a run of `run` bytes serves many of its kind. */
/*@ requires power_of_two(alignment);
  @ assigns \nothing;
  @ ensures \result <==> alignment <= run / 8 && bytes + (alignment - 1) <= run / 8;
  @*/
static inline bool place_run_serves(size_t run, size_t bytes, size_t alignment)
{
    REQUIRE(place_alignment_ok(alignment));
    return alignment <= run / 8 && bytes <= run / 8 - (alignment - 1);
}

/* So much of `fresh` bytes that blocks like this one fill it: where all are alike, lanes leave nothing behind. */
/*@ requires power_of_two(alignment) && 0 < bytes <= fresh && bytes + (alignment - 1) <= SIZE_MAX;
  @ assigns \nothing;
  @ ensures bytes <= \result <= fresh;
  @*/
static inline size_t place_run_filled(size_t fresh, size_t bytes, size_t alignment)
{
    size_t padding = (0 - bytes) & (alignment - 1);
    /*@ assert 0 < alignment && padding == padding(bytes, alignment); */
    /*@ assert 0 < bytes + padding <= SIZE_MAX; */
    size_t rest = fresh % (bytes + padding);
    return rest <= fresh - bytes ? fresh - rest : fresh;
}

/* count * size, or false. */
/*@ requires \valid(product);
  @ assigns *product;
  @ ensures \result <==> count * size <= SIZE_MAX;
  @ ensures \result ==> *product == count * size;
  @ ensures !\result ==> *product == \old(*product);
  @*/
static inline bool place_product(size_t count, size_t size, size_t *product)
{
    if (size != 0 && count > SIZE_MAX / size)
        return false;
    /*@ assert 0 <= count * size; */
    /*@ assert count * size <= SIZE_MAX; */
    *product = count * size;
    return true;
}

#endif
