/* lane.h - private runs of bytes, bumped without a read-modify-write.
 *
 *    chunk   | blocks | lane of slot 0 | block | lane of slot 1 | blocks |       |
 *                     ^cursor     ^end                                   ^next
 *
 * A lane is a run that was carved from a chunk like a block, by one compare-and-swap; its owner hands
 * out the bytes from cursor to end by moving cursor. A lane of a lane table belongs to the thread that
 * has the slot; an explicit one (tsmbr_lane) to whoever holds it. Between changes both are a
 * tsmbr_lane: functions here take that, and copy a table's lane in and out.
 *
 * Key invariant: cursor <= end, and nobody but the owner has bytes of [cursor, end), which lie in the
 * part of one chunk that has been carved.
 *
 * Not here: when a thread without room in its lane gets a new run, see resource.c. */
#ifndef TSMBR_LANE_H
#define TSMBR_LANE_H

#include "chunk.h"
#include "slot.h"

static inline size_t run_left(const tsmbr_lane *run)
{
    return (size_t)(run->end - run->cursor);
}

/* A block from the run, or NULL with nothing changed. Progress: wait-free, no step shared. */
static inline void *run_bump(tsmbr_lane *run, size_t bytes, size_t alignment)
{
    size_t offset = 0;
    size_t used = 0;
    if (!place_fit((size_t)(uintptr_t)run->cursor, run_left(run), 0, bytes, alignment, &offset, &used))
        return NULL;
    void *block = run->cursor + offset;
    run->cursor += used;
    return block;
}

/* A table's lane as its owner sees it, and back. */
static inline tsmbr_lane lane_open(const lane *l)
{
    tsmbr_lane run = {lane_cursor_load_relaxed(l), lane_end_load_relaxed(l), l->next_bytes, NULL};
    return run;
}

static inline void lane_close(lane *l, const tsmbr_lane *run)
{
    lane_cursor_store_relaxed(l, run->cursor);
    lane_end_store_relaxed(l, run->end);
    l->next_bytes = run->next_bytes;
}

/* Bytes of chunk that a group's table takes, wherever it lies: the lanes, and the way to a line. */
static inline size_t lane_table_bytes(unsigned group)
{
    return slot_group_size(group) * sizeof(lane) + (LANE_LINE - 1);
}

static inline void lane_init(lane *l)
{
    lane_cursor_store_relaxed(l, NULL);
    lane_end_store_relaxed(l, NULL);
    l->next_bytes = 0;
}

static inline lane *lane_in(lane *table, const thread_state *thread)
{
    return (lane *)(void *)((unsigned char *)table + thread->offset);
}

/* This thread's lane in r; NULL if the thread has no slot, is at work in a lane, or has no table here. */
static inline lane *lane_mine(const resource *r, const thread_state *thread)
{
    lane *table = lanes_load_acquire(r, thread->group);
    return table == NULL || thread->busy != 0 ? NULL : lane_in(table, thread);
}

/* Bump: a block from this thread's lane. False if that has no room, or there is none. */
static inline bool lane_allocate(const resource *r, size_t bytes, size_t alignment, void **block)
{
    thread_state *thread = TSMBR_THREAD;
    lane *l = lane_mine(r, thread);
    if (l == NULL)
        return false;
    thread_enter(thread);
    unsigned char *cursor = lane_cursor_load_relaxed(l);
    size_t room = (size_t)(lane_end_load_relaxed(l) - cursor);
    size_t padding = 0;
    bool fits = place_bump((size_t)(uintptr_t)cursor, room, bytes, alignment, &padding);
    if (fits) {
        lane_cursor_store_relaxed(l, cursor + padding + bytes);
        *block = cursor + padding;
    }
    thread_leave(thread);
    return fits;
}

/* A block, and a run behind it that replaces what is left of this one, from chunk c; or just the block,
 * where a run would be too much. NULL if c has no room for it. Bytes given up count in r->unused. */
void *tsmbr_run_refill(resource *r, chunk *c, tsmbr_lane *run, size_t bytes, size_t alignment, size_t *lost);

/* Make the run's last block, which ends at its cursor, `grown` bytes longer. */
bool tsmbr_run_grow(resource *r, tsmbr_lane *run, size_t grown, size_t *lost);

/* Take the end of the run's last block back, into the run; into the chunk if that is too much for a run
 * and the run is the chunk's last. Otherwise it is left where it is. */
void tsmbr_run_shrink(resource *r, tsmbr_lane *run, size_t given_up, size_t *lost);

/* A block from c and a new run for this thread's lane in r, or just the block. With may_take, the
 * thread takes a slot if it has none. */
void *tsmbr_lane_serve(resource *r, chunk *c, size_t bytes, size_t alignment, bool may_take, size_t *lost);

#endif
