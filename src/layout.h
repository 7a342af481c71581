/* layout.h - the records that threads share.
 *
 *    resource        by prev, to the oldest                       by follow, to the newest
 *    +----------+    +--------+    +--------+    +----------+     +--------+    +--------+
 *    | head     |--->| chunk  |--->| chunk  |--->| caller's |     | kept   |--->| kept   |
 *    | large    |-+  +--------+    +--------+    | buffer   |     +--------+    +--------+
 *    | cleanups | |      |                       +----------+         ^
 *    +----------+ |      +------------------- follow -----------------+
 *                 |  +--------+    +--------+    +--------+
 *                 +->| chunk  |--->| chunk  |--->| chunk  |   one large block each, or kept for one
 *                    +--------+    +--------+    +--------+
 *
 * Every chunk held from the upstream is reached once: from head by prev, from head by follow, or
 * from large by prev. A chunk's fields but `next` are written before a compare-and-swap on head or
 * large publishes it, or while no other thread uses the resource, and never else.
 *
 * A checker may give its own meaning to the two macros below: an atomic it can schedule, a plain
 * field it can watch for races. */
#ifndef TSMBR_LAYOUT_H
#define TSMBR_LAYOUT_H

#include <limits.h>
#include <stddef.h>

#include "place.h"
#include "tools.h"
#include "tsmbr.h"

#ifndef TSMBR_ATOMIC
#include <stdatomic.h>
#define TSMBR_ATOMIC(type) _Atomic(type)
#define TSMBR_FIELD(type) type
#endif

/* A run of memory and how much of it is handed out. At the end of the memory it describes, or, for
 * the caller's buffer, in the resource. On a line of its own: `next` is written by every
 * allocation, and a block on its line would slow both. */
typedef struct chunk {
    TSMBR_ATOMIC(size_t) next;                   /* bytes handed out, padding included; <= capacity */
    TSMBR_FIELD(unsigned char *) allocation_ptr; /* start of usable memory, and of what to give back */
    TSMBR_FIELD(size_t) allocation_size;         /* bytes to give back; 0: caller's buffer */
    TSMBR_FIELD(size_t) capacity;                /* usable bytes */
    TSMBR_FIELD(struct chunk *) prev;            /* the chunk before this one in its list, or NULL */
    TSMBR_FIELD(struct chunk *) follow;          /* the kept chunk after this one, or NULL */
    TSMBR_FIELD(size_t) held;                    /* allocation_size of this chunk and all by prev */
} chunk;

/* Slots are numbered from 0; see slot.h. */
#define SLOT_BITS (CHAR_BIT * (unsigned)sizeof(size_t))
#define SLOTS 256u
#define SLOT_WORDS (SLOTS / SLOT_BITS)
/* Groups up to this one are twice as large as the one before, later ones as large as can be. */
#define SLOT_DOUBLING 6u
#define SLOT_GROUP_MOST 32u
#define SLOT_GROUPS (SLOT_DOUBLING + SLOTS / SLOT_GROUP_MOST)
#define SLOT_LOSSES 16u

/* Which slots are taken, a bit each. */
typedef struct slots {
    TSMBR_ATOMIC(size_t) taken[SLOT_WORDS];
    TSMBR_ATOMIC(bool) key_ready; /* a thread that ends gives its slot back */
} slots;

/* Two lines: processors fetch the neighbour of a line, too. */
#ifndef LANE_LINE /* a checker may want it smaller */
#define LANE_LINE ((size_t)128)
#endif

/* What a thread has of a resource for itself; see lane.h. Written by the thread that has the slot, and
 * at rest. Statistics read cursor and end. */
typedef struct lane {
    TSMBR_ATOMIC(unsigned char *) cursor; /* the next byte to hand out */
    TSMBR_ATOMIC(unsigned char *) end;    /* where the lane's bytes end */
    TSMBR_FIELD(size_t) next_bytes;       /* how many it wants next; 0: as few as may be */
    unsigned char apart[LANE_LINE - 3 * sizeof(void *)];
} lane;

typedef void (*cleanup_function)(void *argument);

/* A registered cleanup, in a block of the resource. */
typedef struct cleanup {
    TSMBR_FIELD(struct cleanup *) prev; /* the one registered before, runs after */
    TSMBR_FIELD(cleanup_function) function;
    TSMBR_FIELD(void *) argument;
} cleanup;

/* What is in a tsmbr_resource's bytes. The groups stand more than a line apart, wherever the
 * resource stands, so that a hot word of one never shares a line with another group. */
typedef struct resource {
    /* Read by every call, written when a table, a lane, a chunk or a cleanup arrives. The lanes first, as gcc adds
     * an offset to the index of an atomic field by an instruction. */
    TSMBR_ATOMIC(lane *) lanes[SLOT_GROUPS]; /* by group of slots: a table; NULL: none; [0]: NULL */
    TSMBR_ATOMIC(chunk *) head;              /* the current chunk; NULL before the first */
    TSMBR_ATOMIC(chunk *) large;             /* the newest chunk for one large block; NULL: none */
    TSMBR_ATOMIC(cleanup *) cleanups;        /* latest registered; NULL: none */
    TSMBR_ATOMIC(size_t) lanes_used;         /* lanes that have had a run since the last reset; or: many */

    /* Constant from init to destroy; all-zero means every default. */
    const tsmbr_upstream *upstream; /* NULL: the system upstream */
    size_t first_total;             /* size of the first chunk, none is asked smaller; 0: default */
    size_t limit;                   /* most bytes reserved; 0: no limit */
    unsigned flags;

    /* Written at rest. */
    chunk *kept_large; /* the oldest of the large list that reset kept, others by follow */
    size_t peak;       /* the most bytes held before the last reset */
    size_t ahead;      /* `held` of the last chunk that tsmbr_reserve has weighed since the last reset */

    unsigned char apart_buffer[72];
    chunk buffer; /* the caller's storage; capacity 0: none */

    unsigned char apart_counters[72];
    TSMBR_ATOMIC(size_t) reserved;     /* bytes held from the upstream, or being asked of it */
    TSMBR_ATOMIC(size_t) published;    /* of these, bytes in chunks that have joined a list */
    TSMBR_ATOMIC(size_t) large_weight; /* what chunks with a large block count for in growth */
    TSMBR_ATOMIC(size_t) unused;       /* bytes carved for lanes and given up */
    TSMBR_ATOMIC(size_t) lost;         /* compare-and-swaps lost */
} resource;

#ifndef TSMBR_LAYOUT_FREE /* a checker's atomics may be larger */
_Static_assert(sizeof(chunk) <= PLACE_RECORD, "a chunk record fits its place");
_Static_assert(sizeof(lane) == LANE_LINE, "lanes do not share lines");
_Static_assert((SLOT_GROUP_MOST + 1) * LANE_LINE - 1 <= PLACE_TABLE_MOST, "no table is larger");
_Static_assert(sizeof(resource) <= sizeof(tsmbr_resource), "the public type has room for the private one");
_Static_assert(_Alignof(resource) <= _Alignof(tsmbr_resource), "and its alignment");
_Static_assert(sizeof(size_t) == sizeof(uintptr_t), "addresses are counted in size_t");
_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2, "lock-free needs lock-free pointers");
_Static_assert(sizeof(size_t) > sizeof(long) || ATOMIC_LONG_LOCK_FREE == 2, "and lock-free sizes");
_Static_assert(sizeof(size_t) <= sizeof(long) || ATOMIC_LLONG_LOCK_FREE == 2, "of whatever kind");
#endif

static inline resource *resource_of(tsmbr_resource *self)
{
    return (resource *)(void *)self->opaque.bytes;
}

static inline const resource *resource_of_const(const tsmbr_resource *self)
{
    return (const resource *)(const void *)self->opaque.bytes;
}

static inline size_t chunk_base(const chunk *c)
{
    return (size_t)(uintptr_t)c->allocation_ptr;
}

#endif
