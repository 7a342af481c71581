/* lane.c - how lanes get their runs, and lanes in the caller's hands. */
#include "lane.h"
#include "resource.h"

/* -------------------------------------------------------------------------------------- runs -- */

/* Nothing has been handed out of it. Its first block is just that, as it was when the chunk was installed
 * for it: so after a reset the same calls get the same blocks. */
/*@ requires shared(c);
  @ assigns \nothing;
  @*/
static bool chunk_is_new(const chunk *c)
{
    return next_load_relaxed(c) == 0;
}

/* It is the caller's buffer. */
/*@ requires \valid_read(c);
  @ assigns \nothing;
  @*/
static bool chunk_is_lent(const chunk *c)
{
    return c->allocation_size == 0;
}

/* Whether the run ends where c's carved part ends. Not if that is empty: then what ends there is in
 * memory that happens to lie before c. */
/*@ requires lists_ok && run_kept_in(run) && run_ok(run) && shared(c) && placed(c) && seen <= c->capacity;
  @ assigns \nothing;
  @ ensures \result ==> home != \null && home->allocation_ptr == c->allocation_ptr && run_to == seen;
  @*/
static bool run_is_last(const tsmbr_lane *run, const chunk *c, size_t seen)
{
    /*@ assert home == \null ==> address(run->end) == 0; */
    /*@ assert home != \null ==> address(home->allocation_ptr + run_to) == base(home) + run_to; */
    /*@ assert home != \null ==> start_of(address(run->end)) == home->allocation_ptr; */
    /*@ assert seen != 0 ==> address(c->allocation_ptr + seen) == base(c) + seen; */
    /*@ assert seen != 0 ==> start_of(base(c) + seen) == c->allocation_ptr; */
    return seen != 0 && (size_t)(uintptr_t)run->end == chunk_base(c) + seen;
}

/* A block that begins in what is left of the run and ends in `size` bytes more of c, or as many as c
 * still has: ExtendWon. One thread alone fills its chunk this way without a gap. */
/*@ requires shared(c) && placed(c) && lists_ok && run_kept_in(run) && run_ok(run);
  @ requires run_full(run, bytes, alignment);
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(run, lost);
  @ requires 0 < bytes && power_of_two(alignment) && won == \null;
  @ assigns TAKEN, RUN, run->cursor, run->end, *lost;
  @ ensures lists: lists_ok;
  @ ensures lies: run_lies;
  @ ensures run: run_stands(run);
  @ ensures no: \result == \null ==> won == \null && run_same;
  @ ensures yes: \result != \null ==> won == c && extended(\result, bytes, alignment);
  @*/
static void *run_extend(chunk *c, tsmbr_lane *run, size_t size, size_t bytes, size_t alignment, size_t *lost)
{
    size_t seen = next_load_relaxed(c);
    if (!run_is_last(run, c, seen))
        return NULL;
    size_t offset = 0;
    size_t used = 0;
    if (!place_fit((size_t)(uintptr_t)run->cursor, run_left(run) + (c->capacity - seen), 0, bytes, alignment,
                   &offset, &used))
        return NULL;
    /*@ assert home != \null && run_to == seen && run_at + used <= c->capacity; */
    /*@ assert used <= run_to - run_at ==>
      @     fits(address(run->cursor), run_to - run_at, 0, bytes, alignment, offset); */
    /*@ assert used > run_to - run_at; */
    size_t needed = used > run_left(run) ? used - run_left(run) : 0;
    size_t more = c->capacity - seen < size ? c->capacity - seen : size;
    if (more < needed)
        more = needed;
    /*@ assert run_at + used <= run_to + more <= c->capacity && 0 < more; */
    if (!next_cas_acquire(c, &seen, seen + more)) {
        ++*lost;
        return NULL;
    }
    /*@ assert won == c && won_from == run_to && won_to == run_to + more; */
    /*@ assert run->cursor == c->allocation_ptr + run_at && run->end == c->allocation_ptr + run_to; */
    void *block = run->cursor + offset;
    /*@ assert chunk_ok(c) && block == c->allocation_ptr + (run_at + offset) && run_at + offset < c->capacity; */
    /*@ assert block != \null; */
    run->cursor += used;
    run->end += more;
    /*@ assert run->cursor == c->allocation_ptr + (run_at + used); */
    /*@ assert run->end == c->allocation_ptr + (run_to + more); */
    /*@ assert lists_ok; */
    /*@ ghost home = c; */
    /*@ ghost run_at += used; */
    /*@ ghost run_to += more; */
    /*@ assert run_lies; */
    /*@ assert run_stands(run); */
    return block;
}

/* How much of the room is carved for a block and a run of about `size` bytes behind it. 0 if the block is too
 * large a part of such a run, or all that would be carved: then what is left of the present run may still serve.
 */
/*@ requires 0 < bytes && power_of_two(alignment);
  @ assigns \nothing;
  @ ensures \result == 0 || bytes < \result <= room;
  @*/
static size_t run_fresh(size_t room, size_t size, size_t bytes, size_t alignment)
{
    size_t fresh = room < size ? room : size;
    if (bytes > fresh || !place_run_serves(size, bytes, alignment))
        return 0;
    fresh = place_run_filled(fresh, bytes, alignment);
    return bytes < fresh ? fresh : 0;
}

/* A block, and a run of `size` bytes behind it, or of as many as c still has, in place of what is left of
 * this one. NULL if there is none to be had. */
/*@ requires shared(c) && placed(c) && lists_ok && run_kept_in(run) && run_ok(run) && size <= c->capacity;
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(run, lost);
  @ requires 0 < bytes && power_of_two(alignment) && won == \null;
  @ assigns TAKEN, RUN, run->cursor, run->end, *lost;
  @ ensures lists: lists_ok;
  @ ensures lies: run_lies;
  @ ensures run: run_stands(run);
  @ ensures no: \result == \null ==> won == \null && run_same;
  @ ensures yes: \result != \null ==> won == c && refilled(\result, bytes, alignment);
  @*/
static void *run_replace(resource *r, chunk *c, tsmbr_lane *run, size_t size, size_t bytes, size_t alignment,
                         size_t *lost)
{
    size_t fresh = run_fresh(c->capacity - next_load_relaxed(c), size, bytes, alignment);
    void *block = fresh != 0 ? chunk_carve(c, fresh, alignment, CHUNK_INSIST, lost) : NULL;
    if (block == NULL)
        return NULL;
    if (run_left(run) != 0)
        unused_add_relaxed(r, run_left(run));
    run->cursor = (unsigned char *)block + bytes;
    run->end = (unsigned char *)block + fresh;
    /*@ ghost home = c; */
    /*@ ghost run_at = won_to - fresh + bytes; */
    /*@ ghost run_to = won_to; */
    return block;
}

void *tsmbr_run_refill(resource *r, chunk *c, tsmbr_lane *run, size_t bytes, size_t alignment, size_t *lost)
{
    bool is_first = run->end == NULL;
    size_t lanes = 0, size = 0;
    if (!chunk_is_new(c)) {
        /* Without this one, if it takes its first. A run that was taken while there were few is kept. */
        lanes = lanes_used_load_relaxed(r);
        size = place_run(run->next_bytes, place_run_part(c->capacity, chunk_is_lent(c), lanes));
    }
    if (size == 0)
        return chunk_carve(c, bytes, alignment, CHUNK_INSIST, lost);
    void *block = run_extend(c, run, size, bytes, alignment, lost);
    if (block == NULL)
        block = run_replace(r, c, run, size, bytes, alignment, lost);
    if (block == NULL)
        block = chunk_carve(c, bytes, alignment, CHUNK_INSIST, lost);
    if (block != NULL)
        run->next_bytes = 2 * size;
    if (is_first && run->end != NULL && lanes <= PLACE_FEW_LANES) /* of a line that every call reads */
        lanes_used_add_relaxed(r);
    return block;
}

bool tsmbr_run_grow(resource *r, tsmbr_lane *run, size_t grown, size_t *lost)
{
    if (grown > run_left(run)) {
        chunk *c = head_load_acquire(r);
        size_t seen = c != NULL ? next_load_relaxed(c) : 0;
        if (c == NULL || !run_is_last(run, c, seen) || grown - run_left(run) > c->capacity - seen)
            return false;
        size_t more = grown - run_left(run);
        if (!next_cas_acquire(c, &seen, seen + more)) {
            ++*lost;
            return false;
        }
        run->end += more;
        /*@ ghost home = c; */
        /*@ ghost run_to += more; */
    }
    run->cursor += grown;
    /*@ ghost run_at += grown; */
    return true;
}

/* Whether a run that gets its last bytes back has no more than `most` then. */
/*@ requires run_ok(run) && \valid_read(run);
  @ assigns \nothing;
  @*/
static bool run_may_keep(const tsmbr_lane *run, size_t given_up, size_t most)
{
    return given_up <= most && run_left(run) <= most - given_up;
}

void tsmbr_run_shrink(resource *r, tsmbr_lane *run, size_t given_up, size_t *lost)
{
    chunk *c = run_may_keep(run, given_up, run->next_bytes) ? NULL : head_load_acquire(r);
    size_t seen = c != NULL ? next_load_relaxed(c) : 0;
    if (c != NULL && run_is_last(run, c, seen)) {
        if (next_cas_release(c, &seen, seen - run_left(run) - given_up)) {
            run->cursor -= given_up;
            run->end = run->cursor;
            /*@ ghost run_at -= given_up; */
            /*@ ghost run_to = run_at; */
            return;
        }
        ++*lost;
    }
    /* Nobody else can have them. */
    if (run_may_keep(run, given_up, 2 * PLACE_RUN_MOST)) {
        run->cursor -= given_up;
        /*@ ghost run_at -= given_up; */
    }
}

/* ------------------------------------------------------------------------------- lane tables -- */

/* Whether c is so large that a table is a small part of it, and has room for that and `spare` bytes besides. */
/*@ requires shared(c) && lists_ok;
  @ assigns \nothing;
  @*/
static bool table_fits(const chunk *c, size_t bytes, size_t spare)
{
    size_t room = c->capacity - next_load_relaxed(c);
    return bytes <= place_table_part(c->capacity, chunk_is_lent(c)) && bytes <= room && spare <= room - bytes;
}

/* This thread's lane, for which a table is made if there is none: a block that the library allocates for
 * itself. NULL if c is too small for one, or has no room for it and `spare` bytes besides, as far as is seen: a
 * request must not be refused for its own lane's sake. Another chunk may become current meanwhile, and then has
 * the table. The thread is busy, so no handler of its own has been here in between. */
/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && shared(c) && chunk_seen == 1 && won == \null;
  @ requires thread == &this_thread && this_thread.group != 0;
  @ requires \valid(lost) && apart((char *)lost, sizeof(*lost)) && \separated(lost, r);
  @ requires \separated(lost, THREAD) && \separated(lost, tables + (0 .. tables_count - 1));
  @ assigns TAKEN, run_at, TABLE, *lost;
  @ ensures lists: lists_ok;
  @ ensures resource: resource_ok(r);
  @ ensures kept: won == \null && run_at == \old(run_at) && opened == \null;
  @ ensures yes: \result != \null ==> lane_lies(\result);
  @*/
static lane *lane_make(resource *r, const chunk *c, const thread_state *thread, size_t spare, size_t *lost)
{
    unsigned group = thread->group;
    lane *table = lanes_load_acquire(r, group);
    if (table != NULL)
        return lane_in(table, thread);
    size_t bytes = lane_table_bytes(group);
    unsigned char *memory = table_fits(c, bytes, spare) ? tsmbr_resource_carve(r, bytes, 1) : NULL;
    if (memory == NULL)
        return NULL;
    TOOLS_OWN_BLOCK(memory, bytes);
    table = (lane *)(void *)(memory + ((0 - (size_t)(uintptr_t)memory) & (LANE_LINE - 1)));
    /*@ ghost size_t way = (0 - (size_t)(uintptr_t)memory) & (LANE_LINE - 1); */
    /*@ ghost size_t lanes = (bytes - (LANE_LINE - 1)) / sizeof(lane); */
    /*@ assert way < LANE_LINE && lanes == group_size(group); */
    /*@ ghost table_begins(table, lanes, memory, way, bytes); */
    /*@ loop invariant lists_ok;
      @ loop invariant resource_ok(r);
      @ loop invariant thread_ok && this_thread.group == group;
      @ loop invariant run_at == \at(run_at, Pre) && won == \null;
      @ loop invariant 0 <= i <= opened_count;
      @ loop assigns i, run_at, tables[0 .. tables_count - 1].next_bytes;
      @*/
    for (unsigned i = 0; i < slot_group_size(group); i++)
        lane_init(&table[i]);
    if (!lanes_cas_release(r, group, table)) {
        /* Another thread of the group was first. */
        ++*lost;
        unused_add_relaxed(r, bytes);
        table = lanes_load_acquire(r, group);
    }
    /*@ assert holds(group, this_thread.offset); */
    /*@ assert lane_lies((lane *)((unsigned char *)table + this_thread.offset)); */
    return lane_in(table, thread);
}

void *tsmbr_lane_serve(resource *r, chunk *c, size_t bytes, size_t alignment, bool may_take, size_t *lost)
{
    thread_state *thread = TSMBR_THREAD;
    if (chunk_is_new(c) || thread->busy != 0)
        return chunk_carve(c, bytes, alignment, CHUNK_INSIST, lost);
    thread_enter(thread); /* before it takes a slot: a handler must not take another for it */
    void *block = NULL;
    bool has_slot = thread->group != 0 || (may_take && tsmbr_thread_take(thread));
    size_t spare = bytes <= SIZE_MAX - (alignment - 1) ? bytes + (alignment - 1) : SIZE_MAX;
    lane *l = has_slot ? lane_make(r, c, thread, spare, lost) : NULL;
    if (l != NULL) {
        tsmbr_lane run = lane_open(l);
        block = run_bump(&run, bytes, alignment); /* zero bytes come here with room left */
        if (block == NULL)
            block = tsmbr_run_refill(r, c, &run, bytes, alignment, lost);
        lane_close(l, &run);
    } else {
        block = chunk_carve(c, bytes, alignment, CHUNK_INSIST, lost);
    }
    thread_leave(thread);
    return block;
}

/* ---------------------------------------------------------------------------- explicit lanes -- */

void CORE(tsmbr_lane_open)(tsmbr_lane *run, tsmbr_resource *self)
{
    tsmbr_lane empty = {NULL, NULL, 0, self, {0}};
    *run = empty;
}

void *CORE(tsmbr_lane_refill)(tsmbr_lane *run, size_t bytes, size_t alignment)
{
    if (!place_alignment_ok(alignment))
        return NULL;
    resource *r = resource_of(run->resource);
    size_t lost = 0;
    bytes = place_bytes(bytes);
    void *block = run_bump(run, bytes, alignment);
    chunk *c = head_load_acquire(r);
    if (block == NULL && c != NULL)
        block = tsmbr_run_refill(r, c, run, bytes, alignment, &lost);
    if (lost != 0)
        lost_add_relaxed(r, lost);
    /* Perhaps from a chunk that reset kept, which is the current one then. */
    return block != NULL ? block : CORE(tsmbr_try_allocate)(run->resource, bytes, alignment);
}

void *CORE(tsmbr_lane_extend)(tsmbr_lane *run, size_t bytes, size_t alignment)
{
    void *block = CORE(tsmbr_lane_refill)(run, bytes, alignment);
    return block != NULL ? block : CORE(tsmbr_allocate)(run->resource, bytes, alignment);
}

void CORE(tsmbr_lane_close)(tsmbr_lane *run)
{
    if (run->resource == NULL)
        return;
    resource *r = resource_of(run->resource);
    chunk *c = head_load_acquire(r);
    size_t seen = c != NULL ? next_load_relaxed(c) : 0;
    size_t left = run_left(run);
    if (left != 0 && c != NULL && run_is_last(run, c, seen)) {
        if (next_cas_release(c, &seen, seen - left))
            left = 0;
        else
            lost_add_relaxed(r, 1);
    }
    if (left != 0)
        unused_add_relaxed(r, left);
    tsmbr_lane empty = {NULL, NULL, 0, NULL, {0}};
    *run = empty;
}
