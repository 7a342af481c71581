/* model.h - what is known of the resources under test, and what must therefore be.
 *
 * The model has each block that was handed out, each grant of the upstream, and what the header says; nothing of
 * how the library decides. It holds:
 *
 *   - blocks are aligned, in memory that the resource holds, before the chunk's record, apart from all others,
 *     and keep what was written into them;
 *   - a refusal has a reason, the right errno, and changes nothing; success leaves errno alone;
 *   - statistics are those of the grants and within the bounds that the blocks give;
 *   - without lanes more: a block stands right behind the one before it in its chunk, allocated_bytes is exact,
 *     and a refusal means that no chunk held has room;
 *   - reset keeps as much as it may, or nothing with TSMBR_NO_RECYCLE; at release everything goes back; the same
 *     calls get the same blocks again;
 *   - in a library for tools: what is poisoned, and that its checks find no mistake where there is none.
 *
 * Key invariant: `order` has the items sorted by address, and neighbours are apart. */
#ifndef TSMBR_FUZZ_MODEL_H
#define TSMBR_FUZZ_MODEL_H

#include <stdint.h>

#include "supply.h"

enum { RESOURCES = 3, LANES = 4, FRAME_CALLS = 192, FRAME_GRANTS = 64, CLEANUPS = 64 };
enum {
    BLOCK_WRITE_MOST = 4 << 10,  /* bytes at both ends of a block that are written */
    CHUNK_LANES_FROM = 16 << 10, /* smaller chunks have no lanes */
};

typedef struct block {
    unsigned char *ptr;
    size_t asked;
    size_t bytes; /* asked, or 1 for a block of none */
    size_t most;  /* bytes it has had */
    size_t alignment;
    uint32_t seed;    /* of its contents */
    uint8_t resource; /* index */
    bool garbage;     /* reallocate moved it, or deallocate had it: nobody's, but not handed out again either */
    bool hidden;      /* its bytes are poisoned */
} block;

/* Blocks in the order in which they were made. */
typedef struct blocks {
    block *items;
    size_t count;
    size_t room;
} blocks;

typedef enum call_kind {
    CALL_ALLOCATE,
    CALL_TRY,
    CALL_FROM,
    CALL_FROM_HELD,
    CALL_OR_CALL,
    CALL_ARRAY,
    CALL_CALLOC,
    CALL_MEMDUP,
    CALL_STRDUP,
    CALL_STRNDUP,
    CALL_PRINTF,
    CALL_LANE,
    CALL_LANE_TRY,
    CALL_REALLOCATE,
    CALL_RESIZE,
    CALL_LANE_OPEN,
    CALL_LANE_CLOSE,
    CALL_ON_RELEASE,
    CALL_VPRINTF,
    CALL_RESERVE, /* makes no block: for frames only */
    CALL_KINDS
} call_kind;

/* One call of the library; `result` once it has been made. */
typedef struct call {
    call_kind kind;
    unsigned resource;
    unsigned lane;
    size_t bytes; /* new size; length of a text */
    size_t count; /* of an array, else 1 */
    size_t alignment;
    void *ptr; /* of an old block, or NULL */
    size_t old_bytes;
    void *result; /* the block; for a resize NULL means false */
} call;

/* The calls since the resource was made or reset, to be made again. */
typedef struct frame {
    call calls[FRAME_CALLS];
    size_t count;
    size_t grants[FRAME_GRANTS]; /* sizes asked of the upstream */
    size_t grant_count;
    bool broken; /* too long, refused, or not repeatable */
    bool first;  /* began in the constructed state */
} frame;

/* What a registered cleanup gets. */
typedef struct cleanup_note {
    struct model *m;
    uint8_t resource;
    uint8_t index;
    uint8_t kind; /* 1: it allocates; 2: it registers another one */
} cleanup_note;

/* A resource under test. */
typedef struct subject {
    union {
        tsmbr_resource resource;
        tsmbr_wrapped wrapped;
    };
    supply supply;
    unsigned index;
    bool watched; /* its upstream is the supply: else one of the library itself */
    bool barren;  /* over the null upstream */
    size_t limit;
    unsigned flags;
    const tsmbr_upstream *upstream; /* as configured; NULL: default */
    size_t buffer_bytes;
    bool exact;                      /* no lanes, as yet: each chunk's `next` is known */
    bool lanes_used;                 /* explicit ones, since the last reset */
    size_t abandoned;                /* bytes in explicit lanes that were not closed */
    size_t refusals_before;          /* of the upstream, at the last reset */
    size_t hidden_bytes;             /* the most that blocks have that are not in the model */
    size_t records;                  /* cleanups that were registered since the last reset */
    cleanup_note cleanups[CLEANUPS]; /* due, latest last */
    size_t cleanups_due;
    tsmbr_statistics seen; /* after the last call */
    frame frame;
} subject;

typedef enum lane_state { LANE_CLOSED, LANE_OPEN, LANE_DEAD } lane_state;

typedef struct model {
    subject subjects[RESOURCES];
    tsmbr_lane lanes[LANES];
    unsigned lane_resource[LANES];
    lane_state lane_states[LANES];
    blocks blocks;
    size_t *order;
    size_t order_room;
    uint32_t seed;
    unsigned shared; /* resources that threads share: the first ones */
    bool concurrent; /* threads are running: what needs rest is checked later */
    bool crowded;    /* they have been */
    bool repeating;  /* a frame is being made again */
} model;

/* What tsmbr_allocate_or_call falls back on, a subject in hand: calls.c. */
tsmbr_fallback call_fallback;

void model_open(model *m);
void model_close(model *m);

/* Make resource `index` anew; the model of what tsmbr_init must do with any config. */
typedef struct plan {
    unsigned upstream; /* which */
    unsigned flags;
    size_t initial_size;
    size_t buffer_bytes; /* SIZE_MAX: no buffer */
    size_t limit;
    size_t misalign;
    size_t gap;
    unsigned mistake; /* 0: none */
} plan;
void model_init(model *m, unsigned index, const plan *p);
void model_destroy(model *m, unsigned index);

/* --------------------------------------------------------------------------------------- blocks -- */

void block_write(const block *b);
void block_check(const block *b); /* fails if the contents have changed */
void blocks_push(blocks *list, block b);

/* Into the order; fails if it overlaps a neighbour. */
void model_add(model *m, block b);
/* The item that begins at ptr, or NULL. */
block *model_block(model *m, const void *ptr);
/* The block has gone to tsmbr_deallocate. */
void block_end(block *b);
/* The block has so many bytes now, in place. */
void model_resized(model *m, block *b, size_t bytes);
void model_check_blocks(const model *m, unsigned resource);
void model_forget(model *m, unsigned resource);

/* ---------------------------------------------------------------------------------- the account -- */

/* Compares statistics with grants and blocks, for a resource at rest; notes them as `seen`. */
void model_account(model *m, unsigned resource);

/* Bytes that the limit leaves; 0 without one. */
size_t room_under_limit(const subject *s);

/* Whether tools keep bytes behind each block of this resource from everybody. */
bool has_zones(const subject *s);

/* The bytes that an explicit lane has ready. */
size_t lane_left(const tsmbr_lane *lane);

/* After reset or release: fails if a tool would not report the use of an old block. */
void model_check_hidden(const model *m, unsigned resource);

/* Whether tsmbr_owns is right about the ends of every chunk. */
void model_check_owns(model *m, unsigned resource);

/* How many bytes of a chunk are handed out: found by asking tsmbr_owns. */
size_t probe_next(const subject *s, const grant *g);

/* The address of a block of these bytes in a chunk whose first `next` bytes are gone; 0: no room. */
uintptr_t place_of(const grant *g, size_t next, size_t bytes, size_t alignment);

#endif
