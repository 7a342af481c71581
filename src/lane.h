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

/*@ requires run_ok(run) && \valid_read(run);
  @ assigns \nothing;
  @ ensures \result == run_to - run_at;
  @*/
static inline size_t run_left(const tsmbr_lane *run)
{
    return (size_t)(run->end - run->cursor);
}

/* A block from the run, or NULL with nothing changed. Progress: wait-free, no step shared. */
/*@ requires lists_ok && run_kept_in(run) && run_ok(run);
  @ requires 0 < bytes && power_of_two(alignment) && won == \null;
  @ assigns run->cursor, run_at;
  @ ensures lists: lists_ok;
  @ ensures lies: run_lies;
  @ ensures run: run_stands(run);
  @ ensures no: \result == \null ==> run_at == \old(run_at);
  @ ensures full: \result == \null ==> run_full(run, bytes, alignment);
  @ ensures yes: \result != \null ==> bumped(\result, bytes, alignment);
  @*/
static inline void *run_bump(tsmbr_lane *run, size_t bytes, size_t alignment)
{
    size_t offset = 0;
    size_t used = 0;
    if (!place_fit((size_t)(uintptr_t)run->cursor, run_left(run), 0, bytes, alignment, &offset, &used))
        return NULL;
    void *block = run->cursor + offset;
    /*@ assert home != \null && 0 <= run_at + offset < home->capacity; */
    /*@ assert chunk_ok(home) && block == home->allocation_ptr + (run_at + offset); */
    /*@ assert block != \null; */
    run->cursor += used;
    /*@ ghost run_at += used; */
    return block;
}

/* A table's lane as its owner sees it, and back. */
/*@ requires l == mine && \valid_read(l) && run_lies;
  @ assigns \nothing;
  @ ensures run_is(\result.cursor, \result.end);
  @*/
static inline tsmbr_lane lane_open(const lane *l)
{
    tsmbr_lane run = {lane_cursor_load_relaxed(l), lane_end_load_relaxed(l), l->next_bytes, NULL, {0}};
    return run;
}

/*@ requires l == mine && \valid(l) && \valid_read(run) && \separated(l, run) && lists_ok && run_ok(run);
  @ requires apart((char *)l, sizeof(lane)) && opened == \null;
  @ assigns l->next_bytes, run_at;
  @ ensures lists_ok && run_lies && run_at == \old(run_at);
  @*/
static inline void lane_close(lane *l, const tsmbr_lane *run)
{
    lane_cursor_store_relaxed(l, run->cursor);
    lane_end_store_relaxed(l, run->end);
    l->next_bytes = run->next_bytes;
}

/* Bytes of chunk that a group's table takes, wherever it lies: the lanes, and the way to a line. */
/*@ requires 0 < group < SLOT_GROUPS;
  @ assigns \nothing;
  @ ensures \result == group_size(group) * sizeof(lane) + (LANE_LINE - 1);
  @ ensures 0 < group_size(group) <= SLOT_GROUP_MOST;
  @*/
static inline size_t lane_table_bytes(unsigned group)
{
    return slot_group_size(group) * sizeof(lane) + (LANE_LINE - 1);
}

/*@ requires \valid(l) && opened != \null && lane_fresh(l);
  @ assigns l->next_bytes, run_at;
  @ ensures run_at == \old(run_at);
  @*/
static inline void lane_init(lane *l)
{
    lane_cursor_store_relaxed(l, NULL);
    lane_end_store_relaxed(l, NULL);
    l->next_bytes = 0;
}

/*@ requires \valid_read(thread);
  @ assigns \nothing;
  @ ensures \result == (lane *)((unsigned char *)table + thread->offset);
  @*/
static inline lane *lane_in(lane *table, const thread_state *thread)
{
    return (lane *)(void *)((unsigned char *)table + thread->offset);
}

/* This thread's lane in r; NULL if the thread has no slot, is at work in a lane, or has no table here. */
/*@ requires thread == &this_thread && thread_ok;
  @ assigns \nothing;
  @ ensures \result != \null ==> lane_lies(\result);
  @*/
static inline lane *lane_mine(const resource *r, const thread_state *thread)
{
    lane *table = lanes_load_acquire(r, thread->group);
    if (TSMBR_UNLIKELY(table == NULL) || TSMBR_UNLIKELY(thread->busy != 0))
        return NULL;
    return lane_in(table, thread);
}

/* Bump: a block from this thread's lane. False if that has no room, or there is none. */
/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && won == \null;
  @ requires \valid(block) && \separated(block, THREAD) && apart((char *)block, sizeof(*block));
  @ assigns *block, run_at, this_thread.busy;
  @ ensures no: !\result ==> run_at == \old(run_at);
  @ ensures yes: \result ==> power_of_two(alignment) && 0 < bytes && *block != \null;
  @ ensures bump: \result ==> bumped(*block, bytes, alignment);
  @*/
static inline bool lane_allocate(const resource *r, size_t bytes, size_t alignment, void **block)
{
    thread_state *thread = TSMBR_THREAD;
    lane *l = lane_mine(r, thread);
    if (TSMBR_UNLIKELY(l == NULL))
        return false;
    thread_enter(thread);
    unsigned char *cursor = lane_cursor_load_relaxed(l);
    size_t room = (size_t)(lane_end_load_relaxed(l) - cursor);
    size_t padding = 0;
    if (TSMBR_UNLIKELY(!place_bump((size_t)(uintptr_t)cursor, room, bytes, alignment, &padding))) {
        thread_leave(thread);
        return false;
    }
    /*@ assert home != \null && address(cursor) == base(home) + run_at; */
    /*@ assert run_at + padding + bytes <= run_to; */
    /*@ assert cursor + padding + bytes == home->allocation_ptr + (run_at + padding + bytes); */
    cursor += padding;
    *block = cursor;
    lane_cursor_store_relaxed(l, cursor + bytes);
    /*@ assert run_at == \at(run_at, Pre) + padding + bytes; */
    /*@ assert chunk_ok(home) && home->allocation_ptr + (run_at - bytes) != \null; */
    /*@ assert *block == home->allocation_ptr + (run_at - bytes); */
    thread_leave(thread);
    return true;
}

/* A block, and a run behind it that replaces what is left of this one, from chunk c; or just the block, where a
 * run would be too much. NULL if c has no room for it. A lane's first run counts in r->lanes_used while few
 * do, bytes given up in r->unused. */
/*@ requires shared(c) && placed(c) && lists_ok && run_kept_in(run) && run_ok(run);
  @ requires run_full(run, bytes, alignment);
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(run, lost);
  @ requires 0 < bytes && power_of_two(alignment) && won == \null;
  @ assigns TAKEN, RUN, *run, *lost;
  @ ensures lists: lists_ok;
  @ ensures lies: run_lies;
  @ ensures run: run_stands(run);
  @ ensures no: \result == \null ==> won == \null && run_same;
  @ ensures yes: \result != \null ==> won == c && served(\result, bytes, alignment);
  @*/
void *tsmbr_run_refill(resource *r, chunk *c, tsmbr_lane *run, size_t bytes, size_t alignment, size_t *lost);

/* Make the run's last block, which ends at its cursor, `grown` bytes longer. */
/*@ requires lists_ok && run_kept_in(run) && run_ok(run) && home != \null && 0 < grown && won == \null;
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(run, lost);
  @ assigns TAKEN, RUN, run->cursor, run->end, *lost;
  @ ensures lists: lists_ok;
  @ ensures lies: run_lies;
  @ ensures run: run_stands(run);
  @ ensures no: !\result ==> won == \null && run_same;
  @ ensures yes: \result ==> run_grown(grown);
  @*/
bool tsmbr_run_grow(resource *r, tsmbr_lane *run, size_t grown, size_t *lost);

/* Take the end of the run's last block back, into the run; if it would have more than twice what it was taken
 * with, into the chunk, if it is the chunk's last. Otherwise it is left where it is. */
/*@ requires lists_ok && run_kept_in(run) && run_ok(run) && home != \null && 0 < given_up;
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(run, lost);
  @ requires owner: base(home) + run_at == owner_end && base(home) <= owner_begin;
  @ requires less: owner_begin + given_up < owner_end;
  @ assigns RUN, run->cursor, run->end, *lost;
  @ ensures lists: lists_ok;
  @ ensures lies: run_lies;
  @ ensures run: run_stands(run);
  @ ensures shrunk: run_same || run_shrunk(given_up);
  @*/
void tsmbr_run_shrink(resource *r, tsmbr_lane *run, size_t given_up, size_t *lost);

/* A block from c and a new run for this thread's lane in r, or just the block. With may_take, the
 * thread takes a slot if it has none. */
/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && shared(c) && placed(c) && chunk_seen == 1;
  @ requires 0 < bytes && power_of_two(alignment) && won == \null;
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(lost, r);
  @ requires \separated(lost, THREAD) && \separated(lost, mine);
  @ requires \separated(lost, tables + (0 .. tables_count - 1));
  @ assigns TAKEN, RUN, LANE, TABLE, SLOT, *lost, errno;
  @ ensures errno == \old(errno);
  @ ensures lists: lists_ok;
  @ ensures resource: resource_ok(r);
  @ ensures lies: run_lies;
  @ ensures served: served(\result, bytes, alignment);
  @*/
void *tsmbr_lane_serve(resource *r, chunk *c, size_t bytes, size_t alignment, bool may_take, size_t *lost);

#endif
