/* steps.h - src/steps.h for the prover: the same functions, what each means to the thread that calls
 * it, and no bodies.
 *
 * Other threads run between any two steps. So no shared word is memory here: a load gives any value
 * that the protocol allows the word to have (`rely`), and a compare-and-swap may only do what the
 * protocol allows a thread to do (`guarantee`). A thread knows of a shared word what its own last
 * step told it, and nothing else. Plain fields of a published chunk are constant, and are memory.
 *
 * Trusted: these contracts, and those of the upstream. `verify` checks that this file and src/steps.h
 * declare the same functions. */
#ifndef TSMBR_STEPS_H
#define TSMBR_STEPS_H

/* Frama-C does not read _Atomic, and its library lacks max_align_t. */
#define TSMBR_ATOMIC(type) type
#define TSMBR_FIELD(type) type
#define TSMBR_LAYOUT_FREE
#define _Alignof(type) __alignof__(type)
typedef union {
    long long integer;
    long double real;
    void *pointer;
} max_align_t;

#include <errno.h>
#include <sched.h>

/* A handler that runs in between finds the thread busy, and stays out of its lane: it changes nothing
 * that this thread looks at. */
#define SIGNAL_FENCE() ((void)0)

#include "layout.h"

/* What a thread knows of its slot: slot.h says what is in it. */
extern struct thread_state this_thread;
#define TSMBR_THREAD (&this_thread)
#define TSMBR_THREAD_MODEL
#define _Thread_local
/* clang-format off */
#define THREAD ((char *)&this_thread + (0 .. 63))
#define thread_ok \
    (this_thread.group < SLOT_GROUPS && \
     (this_thread.group != 0 ==> holds(this_thread.group, this_thread.offset)))
/* clang-format on */

/* ------------------------------------------------------------------------------- chunks -- */

/* Where a chunk's memory begins, as a number. */
#define base(c) address((c)->allocation_ptr)
#define address(p) ((size_t)(uintptr_t)(p))

/*@ ghost
  @ // Where all memory lies that the upstream can grant to this call.
  @ chunk *store; */
/* clang-format off */
#define STORE store[0 .. SIZE_MAX]
/* clang-format on */

/*@ axiomatic Chunks {
  @     // Published: by another thread, at any time, or before this call.
  @     predicate shared(chunk *c);
  @ }
  @
  @ // A record in memory that the upstream granted to this call.
  @ predicate own{L}(chunk *c) =
  @     \exists integer k; 0 <= k <= SIZE_MAX && c == (chunk *)((unsigned char *)store + k);
  @
  @ predicate listed{L}(chunk *c) = c == \null || shared(c);
  @
  @ // What every thread may rely on in a published chunk: invariants 2 and 4 of spec.md.
  @ predicate chunk_ok{L}(chunk *c) =
  @     0 <= base(c) && base(c) + c->capacity <= SIZE_MAX && listed(c->prev) && listed(c->follow) &&
  @     \forall integer k; 0 <= k < c->capacity ==> c->allocation_ptr + k != \null;
  @
  @ // All published chunks are sound, and the upstream does not grant their memory again.
  @ predicate lists_ok{L} =
  @     \forall chunk *c; shared(c) ==> \valid_read(c) && chunk_ok(c) && \separated(c, &STORE);
  @
  @ // Memory in which no published chunk's record lies.
  @ predicate apart{L}(char *p, integer bytes) =
  @     \forall chunk *c; shared(c) ==> \separated(c, p + (0 .. bytes - 1));
  @
  @ // Memory that the upstream does not hand out: somebody else uses it.
  @ predicate in_use{L}(char *p, integer bytes) = \separated(&STORE, p + (0 .. bytes - 1));
  @*/

/*@ axiomatic Memory {
  @     // Where the memory of the published chunk begins in which the byte before address a lies.
  @     logic unsigned char *start_of(integer a);
  @ }
  @
  @ // The memory of a published chunk: no other has a byte of it, and addresses count its bytes. That is
  @ // what an upstream grants, and of a grant of its own alone a thread may make a chunk.
  @ predicate chunk_memory{L}(unsigned char *p, integer bytes) =
  @     \forall integer k; 0 < k <= bytes ==> address(p + k) == address(p) + k && start_of(address(p) + k) == p;
  @*/
#define placed(c) chunk_memory((c)->allocation_ptr, (c)->capacity)

/*@ requires \valid_read(c);
  @ assigns \nothing;
  @ ensures \result == base(c);
  @*/
static inline size_t chunk_base(const chunk *c);

/*@ axiomatic Resources {
  @     // Made by tsmbr_init, or zeroes.
  @     predicate usable(tsmbr_resource *self);
  @ }
  @*/

/* --------------------------------------------------------------- what this call has done -- */

/*@ ghost
  @ // The block that this call has taken: bytes won_from to won_to of the chunk `won`; NULL: none yet.
  @ chunk *won; */
/*@ ghost size_t won_from; */
/*@ ghost size_t won_to; */

/*@ ghost
  @ // What it has from the upstream, neither published nor given back; NULL: nothing.
  @ unsigned char *borrowed; */
/*@ ghost size_t borrowed_bytes; */

/*@ ghost
  @ // Bytes it has reserved, and neither published nor unreserved.
  @ size_t unsettled; */

/*@ ghost
  @ // For a call by a block's owner: the addresses where the block begins and ends.
  @ size_t owner_begin; */
/*@ ghost size_t owner_end; */

/*@ ghost
  @ // The lane that this call works on has bytes run_at to run_to of the chunk `home`; NULL: it has none.
  @ chunk *home; */
/*@ ghost size_t run_at; */
/*@ ghost size_t run_to; */

/*@ ghost
  @ // Where this thread's lane lies in the resource, if there is a table for it, or as soon as there is.
  @ lane *mine; */

/*@ ghost
  @ // Where the table of lanes will lie that this call makes, if it makes one, and of how many lanes. */
/*@ ghost lane *tables; */
/*@ ghost size_t tables_count; */

/*@ ghost
  @ // That table until it is published, then NULL. */
/*@ ghost lane *opened; */
/*@ ghost size_t opened_count; */

/*@ ghost
  @ // This call has seen a current chunk, a table of its thread's group: from then on there is one. */
/*@ ghost int chunk_seen; */
/*@ ghost int table_seen; */

/* clang-format off */
#define TABLE opened, opened_count, table_seen, tables[0 .. tables_count - 1].next_bytes
#define SLOT this_thread.group, this_thread.offset, this_thread.slot, this_thread.standing
#define LANE mine->next_bytes, this_thread.busy
#define RUN home, run_at, run_to
#define TAKEN won, won_from, won_to
#define OWED borrowed, borrowed_bytes, unsettled

/* All that a call changes, but errno. */
#define CALL TAKEN, OWED, STORE, RUN, LANE, TABLE, SLOT, chunk_seen

/* Nothing is owed: no memory that only this call knows of, no bytes reserved in vain. */
#define settled (borrowed == \null && unsettled == 0)

/* No step of this call has taken a block, and nothing is owed. */
#define idle (won == \null && settled)

/* `block` is what this call's one winning step took: aligned, in the chunk's memory, after all that was
 * handed out before, up to the last byte that the step handed out. */
#define took(block, bytes, alignment) \
    (won != \null && fits(base(won), won->capacity, won_from, bytes, alignment, won_to - (bytes)) && \
     won_to - (bytes) - won_from < (alignment) && \
     (unsigned char *)(block) == won->allocation_ptr + (won_to - (bytes)))

/* One block, and only if the answer is yes; nothing owed in any case. */
#define answered(block, bytes, alignment) \
    (settled && ((block) == \null ==> won == \null) && ((block) != \null ==> took(block, bytes, alignment)))

/* The key invariant of lane.h. A lane that has a chunk had a block there first. */
#define run_lies \
    ((home == \null ==> run_at == 0 && run_to == 0) && \
     (home != \null ==> shared(home) && placed(home) && 0 < run_at && run_at <= run_to && run_to <= home->capacity))

/* `run` is that lane. */
#define run_is(begin, end_) \
    ((home == \null ==> (begin) == \null && (end_) == \null) && \
     (home != \null ==> (begin) == home->allocation_ptr + run_at && (end_) == home->allocation_ptr + run_to))
#define run_stands(run) run_is((run)->cursor, (run)->end)
#define run_ok(run) (run_lies && run_stands(run))

/* Where a lane is kept while a call works on it. */
#define run_kept_in(run) \
    (\valid(run) && apart((char *)(run), sizeof(tsmbr_lane)) && in_use((char *)(run), sizeof(tsmbr_lane)))

/* The lane is as it was. */
#define run_same (home == \old(home) && run_at == \old(run_at) && run_to == \old(run_to))

/* `block` is the last that the lane has handed out. */
#define handed(block, bytes, alignment) \
    (home != \null && (unsigned char *)(block) == home->allocation_ptr + (run_at - (bytes)) && \
     (base(home) + (run_at - (bytes))) % (alignment) == 0)

/* It has no byte but of the lane, */
#define bumped(block, bytes, alignment) \
    (won == \null && home == \old(home) && run_to == \old(run_to) && \
     handed(block, bytes, alignment) && \old(run_at) + (bytes) <= run_at && run_at <= run_to)

/* or of the lane and what the one winning step took right behind that, */
#define extended(block, bytes, alignment) \
    (won != \null && home == won && \old(home) != \null && \
     won->allocation_ptr == \old(home)->allocation_ptr && won_from == \old(run_to) && \
     handed(block, bytes, alignment) && \old(run_at) + (bytes) <= run_at && run_at <= run_to && run_to == won_to)

/* or of what that step took. The lane has the rest. */
#define refilled(block, bytes, alignment) \
    (won != \null && home == won && \
     handed(block, bytes, alignment) && won_from + (bytes) <= run_at && run_at <= run_to && run_to == won_to)

/* What a call answers that may use the lane: all that it took is in the block or in the lane. */
#define served(block, bytes, alignment) \
    (((block) == \null ==> won == \null && run_same) && \
     ((block) != \null ==> (took(block, bytes, alignment) && run_same) || bumped(block, bytes, alignment) || \
         extended(block, bytes, alignment) || refilled(block, bytes, alignment)))

/* The lane has no room for such a block. */
#define run_full(run, bytes, alignment) \
    (\forall integer o; !fits(address((run)->cursor), run_to - run_at, 0, bytes, alignment, o))

/* Its last block is `grown` bytes longer, by bytes of the lane, and of what the one winning step took
 * right behind that. */
#define run_grown(grown) \
    (run_at == \old(run_at) + (grown) && run_at <= run_to && home != \null && \
     home->allocation_ptr == \old(home)->allocation_ptr && \
     ((won == \null && run_to == \old(run_to)) || \
      (won == home && won_from == \old(run_to) && won_to == run_to)))

/* Its last block has `given_up` bytes less, which are the lane's, or the chunk's with all the lane had. */
#define run_shrunk(given_up) \
    (home == \old(home) && run_at == \old(run_at) - (given_up) && (run_to == \old(run_to) || run_to == run_at))

/* A block of the caller's: in one chunk, which address 0 is not in. */
#define owns_block(ptr, bytes) \
    (owner_begin == address(ptr) && owner_end == owner_begin + (bytes) && address(start_of(owner_end)) <= owner_begin && \
     0 < owner_begin)

/* A chunk that this call has from the upstream, and nobody has seen. */
#define private(n) \
    (own(n) && \valid(n) && (\forall chunk *other; shared(other) ==> \separated(other, n)) && chunk_ok(n) && \
     (n)->follow == \null && (n)->allocation_ptr == borrowed && \
     (n)->allocation_size == borrowed_bytes && (n)->capacity == room(base(n), (n)->allocation_size) && \
     record_lies(base(n), (n)->allocation_size, (n)->capacity) && \
     (unsigned char *)(n) == (n)->allocation_ptr + (n)->capacity)

/* With a first block in it, */
#define filled(n) (private(n) && 0 < (n)->next && (n)->next <= (n)->capacity)

/* which is `block`. */
#define first(n, block, bytes, alignment) \
    (fits(base(n), (n)->capacity, 0, bytes, alignment, (n)->next - (bytes)) && \
     (n)->next - (bytes) < (alignment) && \
     (unsigned char *)(block) == (n)->allocation_ptr + ((n)->next - (bytes)))

/* The lane that a call finds. */
#define lane_ok (run_lies && thread_ok && opened == \null && opened_count == 0)

#define resource_ok(r) \
    (\valid_read(r) && in_use((char *)(r), sizeof(resource)) && lists_ok && listed((r)->kept_large) && \
     ((r)->upstream != \null ==> upstream_ok((r)->upstream)))

/* A thread's own words and its lane lie nowhere else. */
#define thread_apart(r) \
    (\separated(r, THREAD) && \separated(&STORE, THREAD) && (\forall chunk *c; shared(c) ==> \separated(c, THREAD)) && \
     \separated(mine, r) && \separated(mine, THREAD) && apart((char *)mine, sizeof(lane)) && \
     in_use((char *)mine, sizeof(lane)) && \separated(tables + (0 .. tables_count - 1), r) && \
     \separated(tables + (0 .. tables_count - 1), THREAD) && \
     apart((char *)tables, tables_count * sizeof(lane)) && in_use((char *)tables, tables_count * sizeof(lane)))

/* What one call carries through its rounds. */
#define request_ok(r, q) \
    (resource_ok(r) && \valid(q) && \separated(q, r) && apart((char *)(q), sizeof(request)) && \
     in_use((char *)(q), sizeof(request)) && listed((q)->c) && 0 < (q)->bytes && power_of_two((q)->alignment) && \
     ((q)->need == SIZE_MAX || (q)->need == need((q)->bytes, (q)->alignment)) && \
     ((r)->upstream != \null ==> \separated(q, (r)->upstream)) && \
     ((q)->upstream != \null ==> \separated(q, (q)->upstream) && upstream_ok((q)->upstream)))

/* clang-format on */

/* ---------------------------------------------------------------------------- chunk.next -- */

/*@ requires shared(c);
  @ assigns \nothing;
  @ ensures rely: \result <= c->capacity;
  @*/
static inline size_t next_load_relaxed(const chunk *c);

/*@ requires shared(c) && \valid(seen);
  @ requires guarantee: *seen < desired <= c->capacity;
  @ requires once: won == \null;
  @ assigns *seen, TAKEN;
  @ ensures yes: \result ==> won == c && won_from == \old(*seen) && won_to == desired;
  @ ensures no: !\result ==> won == \null;
  @ ensures rely: *seen <= c->capacity;
  @*/
static inline bool next_cas_acquire(chunk *c, size_t *seen, size_t desired);

/*@ requires shared(c) && \valid(seen);
  @ requires guarantee: desired < *seen <= c->capacity;
  @ requires owner: owner_begin < base(c) + desired && (base(c) + *seen == owner_end ||
  @     (home != \null && base(home) + run_at == owner_end && base(c) + *seen == base(home) + run_to));
  @ assigns *seen;
  @ ensures rely: *seen <= c->capacity;
  @*/
static inline bool next_cas_release(chunk *c, size_t *seen, size_t desired);

/*@ requires own(c) && \valid(c);
  @ assigns c->next;
  @ ensures c->next == value;
  @*/
static inline void next_store_relaxed(chunk *c, size_t value);

/* ------------------------------------------------------------------------- resource.head -- */

/*@ assigns \nothing;
  @ ensures rely: listed(\result);
  @ ensures memory: \result != \null ==> placed(\result);
  @ ensures seen: chunk_seen == 1 ==> \result != \null;
  @*/
static inline chunk *head_load_acquire(const resource *r);

/*@ requires listed(seen);
  @ requires guarantee: shared(desired) || own(desired);
  @ requires advance: shared(desired) ==> seen != \null && desired == seen->follow;
  @ requires install: own(desired) ==> filled(desired) && desired->prev == seen &&
  @     (seen == \null ? desired->held == borrowed_bytes :
  @         seen->follow == \null && desired->held == (size_t)(seen->held + borrowed_bytes));
  @ requires once: won == \null;
  @ assigns TAKEN, borrowed, borrowed_bytes;
  @ ensures yes: \result && own(desired) ==> won == desired && won_from == 0 && won_to == desired->next &&
  @     borrowed == \null;
  @ ensures no: !\result || shared(desired) ==> won == \null && borrowed == \old(borrowed) &&
  @     borrowed_bytes == \old(borrowed_bytes);
  @*/
static inline bool head_cas_release(resource *r, chunk *seen, chunk *desired);

/*@ assigns \nothing; */
static inline void head_store_relaxed(resource *r, chunk *value);

/* ------------------------------------------------------------------------ resource.large -- */

/*@ assigns \nothing;
  @ ensures rely: listed(\result);
  @*/
static inline chunk *large_load_acquire(const resource *r);

/*@ requires listed(seen);
  @ requires guarantee: filled(desired) && desired->prev == seen;
  @ requires once: won == \null;
  @ assigns TAKEN, borrowed, borrowed_bytes;
  @ ensures yes: \result ==> won == desired && won_from == 0 && won_to == desired->next && borrowed == \null;
  @ ensures no: !\result ==> won == \null && borrowed == \old(borrowed) &&
  @     borrowed_bytes == \old(borrowed_bytes);
  @*/
static inline bool large_cas_release(resource *r, chunk *seen, chunk *desired);

/*@ assigns \nothing; */
static inline void large_store_relaxed(resource *r, chunk *value);

/* --------------------------------------------------------------------- resource.reserved -- */

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures rely: r->limit != 0 ==> \result <= r->limit;
  @*/
static inline size_t reserved_load_relaxed(const resource *r);

/*@ requires \valid_read(r) && \valid(seen);
  @ requires guarantee: r->limit != 0 ==> *seen <= desired <= r->limit;
  @ requires once: settled;
  @ assigns *seen, unsettled;
  @ ensures yes: \result ==> unsettled == (size_t)(desired - \old(*seen));
  @ ensures no: !\result ==> unsettled == 0;
  @ ensures rely: r->limit != 0 ==> *seen <= r->limit;
  @*/
static inline bool reserved_cas_acquire(resource *r, size_t *seen, size_t desired);

/*@ requires guarantee: bytes == unsettled && borrowed == \null;
  @ assigns unsettled;
  @ ensures unsettled == 0;
  @*/
static inline void reserved_sub_release(resource *r, size_t bytes);

/*@ assigns \nothing; */
static inline void reserved_store_relaxed(resource *r, size_t value);

/* ----------------------------------------------------------------------------- counters -- */

/*@ assigns \nothing; */
static inline size_t published_load_relaxed(const resource *r);

/*@ requires guarantee: bytes == unsettled && borrowed == \null && won != \null;
  @ assigns unsettled;
  @ ensures unsettled == 0;
  @*/
static inline void published_add_relaxed(resource *r, size_t bytes);

/*@ assigns \nothing; */
static inline void published_store_relaxed(resource *r, size_t value);

/*@ assigns \nothing; */
static inline size_t large_weight_load_relaxed(const resource *r);

/*@ assigns \nothing; */
static inline void large_weight_add_relaxed(resource *r, size_t bytes);

/*@ assigns \nothing; */
static inline void large_weight_store_relaxed(resource *r, size_t value);

/*@ assigns \nothing; */
static inline size_t lost_load_relaxed(const resource *r);

/*@ assigns \nothing; */
static inline void lost_add_relaxed(resource *r, size_t count);

/*@ assigns \nothing; */
static inline size_t unused_load_relaxed(const resource *r);

/*@ assigns \nothing; */
static inline void unused_add_relaxed(resource *r, size_t bytes);

/*@ assigns \nothing; */
static inline void unused_store_relaxed(resource *r, size_t value);

/* --------------------------------------------------------------------- resource.cleanups -- */

/*@ assigns \nothing; */
static inline cleanup *cleanups_load_relaxed(const resource *r);

/*@ assigns \nothing; */
static inline bool cleanups_cas_relaxed(resource *r, cleanup *seen, cleanup *desired);

/*@ assigns \nothing; */
static inline void cleanups_store_relaxed(resource *r, cleanup *value);

/* ------------------------------------------------------------------------ resource.lanes -- */

/*@ axiomatic Lanes {
  @     // This thread has a slot, whose lane is so many bytes behind the beginning of a group's table.
  @     predicate holds(integer group, integer offset);
  @ }
  @
  @ // This thread's lane, in a table that is published.
  @ predicate lane_lies{L}(lane *l) = l == mine && \valid(l);
  @*/

/*@ ghost
  @ // This call sees a chunk current.
  @ /@ requires shared(c);
  @  @ assigns chunk_seen;
  @  @ ensures chunk_seen == 1;
  @  @/
  @ void sees_chunk(chunk *c); */

/*@ ghost
  @ // The bytes that this call has taken are the library's own, for a table, once in a call. Nobody else
  @ // uses them.
  @ /@ requires won != \null && opened_count == 0 && 0 < count;
  @  @ requires took(memory, bytes, 1) && (unsigned char *)t == memory + way;
  @  @ requires way + count * sizeof(lane) <= bytes;
  @  @ assigns TAKEN, opened, opened_count;
  @  @ ensures won == \null && opened == t && opened_count == count && t == tables && count == tables_count;
  @  @ ensures \valid(t + (0 .. count - 1));
  @  @/
  @ void table_begins(lane *t, size_t count, unsigned char *memory, size_t way, size_t bytes); */

/* A lane of a table that is not published. */
#define lane_fresh(l) (\exists integer i; 0 <= i < opened_count && (l) == opened + i)

/*@ requires group < SLOT_GROUPS;
  @ assigns \nothing;
  @ ensures none: group == 0 ==> \result == \null;
  @ ensures seen: group != 0 && table_seen == 1 ==> \result != \null;
  @ ensures rely: \result != \null ==> \forall integer o; holds(group, o) ==>
  @     lane_lies((lane *)((unsigned char *)\result + o));
  @ ensures empty: \result == \null ==> \forall integer o; holds(group, o) ==> home == \null;
  @*/
static inline lane *lanes_load_acquire(const resource *r, unsigned group);

/*@ requires group < SLOT_GROUPS;
  @ requires guarantee: opened != \null && desired == opened;
  @ assigns opened, table_seen;
  @ ensures opened == \null && table_seen == 1;
  @ ensures yes: \result ==> \forall integer o; holds(group, o) ==>
  @     lane_lies((lane *)((unsigned char *)desired + o));
  @*/
static inline bool lanes_cas_release(resource *r, unsigned group, lane *desired);

/*@ assigns \nothing; */
static inline void lanes_store_relaxed(resource *r, unsigned group, lane *value);

/*@ assigns \nothing; */
static inline size_t lanes_used_load_relaxed(const resource *r);

/*@ assigns \nothing; */
static inline void lanes_used_add_relaxed(resource *r);

/*@ assigns \nothing; */
static inline void lanes_used_store_relaxed(resource *r, size_t value);

/* ---------------------------------------------------------------------------------- lane -- */

/*@ requires l == mine;
  @ assigns \nothing;
  @ ensures none: home == \null ==> \result == \null;
  @ ensures some: home != \null ==> \result == home->allocation_ptr + run_at;
  @*/
static inline unsigned char *lane_cursor_load_relaxed(const lane *l);

/*@ requires l == mine;
  @ assigns \nothing;
  @ ensures none: home == \null ==> \result == \null;
  @ ensures some: home != \null ==> \result == home->allocation_ptr + run_to;
  @*/
static inline unsigned char *lane_end_load_relaxed(const lane *l);

/*@ requires open: opened != \null ==> lane_fresh(l) && value == \null;
  @ requires none: opened == \null ==> l == mine && (home == \null ==> value == \null);
  @ requires bump: opened == \null && home != \null ==>
  @     \exists integer k; run_at <= k <= run_to && value == home->allocation_ptr + k;
  @ assigns run_at;
  @ ensures none: opened != \null || home == \null ==> run_at == \old(run_at);
  @ ensures bump: opened == \null && home != \null ==> value == home->allocation_ptr + run_at &&
  @     \old(run_at) <= run_at <= run_to;
  @*/
static inline void lane_cursor_store_relaxed(lane *l, unsigned char *value);

/*@ requires open: opened != \null ==> lane_fresh(l) && value == \null;
  @ requires none: opened == \null ==> l == mine && (home == \null ==> value == \null);
  @ requires end: opened == \null && home != \null ==> value == home->allocation_ptr + run_to;
  @ assigns \nothing;
  @*/
static inline void lane_end_store_relaxed(lane *l, unsigned char *value);

/* --------------------------------------------------------------------------------- slots -- */

/*@ // Lanes in a group's table.
  @ logic integer group_size(integer group) =
  @     group < 2 ? group : group <= SLOT_DOUBLING ? 1 << (group - 2) : SLOT_GROUP_MOST;
  @
  @ // A slot's group, and where in a table of the group its lane is.
  @ predicate lane_place(integer slot, integer group, integer offset) =
  @     (slot == 0 && group == 1 && offset == 0) ||
  @     (2 <= group <= SLOT_DOUBLING && group_size(group) <= slot && slot < 2 * group_size(group) &&
  @         offset == (slot - group_size(group)) * sizeof(lane)) ||
  @     (SLOT_GROUP_MOST <= slot < SLOTS && group == SLOT_DOUBLING + slot / SLOT_GROUP_MOST &&
  @         offset == slot % SLOT_GROUP_MOST * sizeof(lane));
  @
  @ // This thread has the slot.
  @ predicate has(integer slot) =
  @     \forall integer group, offset; lane_place(slot, group, offset) ==> holds(group, offset);
  @*/

/*@ requires word < SLOT_WORDS;
  @ assigns \nothing;
  @*/
static inline size_t slots_load_relaxed(const slots *s, unsigned word);

/*@ requires word < SLOT_WORDS && \valid(seen);
  @ requires guarantee: \exists integer b; 0 <= b < SLOT_BITS && desired == *seen + (1 << b) &&
  @     desired == (*seen | (1 << b));
  @ assigns *seen;
  @ ensures yes: \result ==> \forall integer b; 0 <= b < SLOT_BITS && desired == \old(*seen) + (1 << b) ==>
  @     has(word * SLOT_BITS + b);
  @*/
static inline bool slots_cas_acquire(slots *s, unsigned word, size_t *seen, size_t desired);

/*@ requires word < SLOT_WORDS;
  @ requires guarantee: \exists integer slot; has(slot) && word == slot / SLOT_BITS &&
  @     mask == (size_t)(~(1 << slot % SLOT_BITS));
  @ assigns \nothing;
  @*/
static inline void slots_and_release(slots *s, unsigned word, size_t mask);

/*@ assigns \nothing; */
static inline bool key_ready_load_acquire(const slots *s);

/*@ assigns \nothing; */
static inline void key_ready_store_release(slots *s, bool value);

/* ------------------------------------------------------------------------- the upstream -- */

/*@ requires reserved: bytes == unsettled && borrowed == \null;
  @ assigns borrowed, borrowed_bytes, errno;
  @ ensures no: \result == \null ==> borrowed == \null;
  @ // An address is no negative number: WP does not know.
  @ ensures yes: \result != \null ==> borrowed == \result && borrowed_bytes == bytes &&
  @     0 <= (size_t)(uintptr_t)\result &&
  @     \valid((unsigned char *)\result + (0 .. bytes - 1)) &&
  @     \exists integer k; 0 <= k && k + bytes <= SIZE_MAX && \result == (unsigned char *)store + k;
  @*/
void *upstream_allocate(void *context, size_t bytes, size_t alignment);

/*@ requires ptr != \null && ptr == borrowed && bytes == borrowed_bytes;
  @ assigns borrowed, borrowed_bytes, errno;
  @ ensures borrowed == \null;
  @*/
void upstream_deallocate(void *context, void *ptr, size_t bytes, size_t alignment);

/*@ predicate upstream_ok{L}(tsmbr_upstream *u) = \valid_read(u) && in_use((char *)u, sizeof(*u)) &&
  @     u->allocate == &upstream_allocate && u->deallocate == &upstream_deallocate;
  @*/

extern const tsmbr_upstream system_upstream;

/*@ assigns \nothing;
  @ ensures \result == &system_upstream && upstream_ok(\result);
  @*/
const tsmbr_upstream *tsmbr_system_upstream(void);

/*@ requires usable(self);
  @ assigns \nothing;
  @ ensures resource_ok(\result) && thread_apart(\result);
  @*/
static inline resource *resource_of(tsmbr_resource *self);

/*@ ghost
  @ // A variable of the caller's is in use.
  @ /@ assigns \nothing;
  @  @ ensures in_use(p, bytes);
  @  @/
  @ void upstream_avoids(char *p, size_t bytes);
  @*/

/*@ assigns errno; */
int sched_yield(void);

#endif
