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

#include "layout.h"

/* ------------------------------------------------------------------------------- chunks -- */

/* Where a chunk's memory begins, as a number. */
#define base(c) ((size_t)(uintptr_t)(c)->allocation_ptr)

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

/* clang-format off */
#define TAKEN won, won_from, won_to
#define OWED borrowed, borrowed_bytes, unsettled

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

#define resource_ok(r) \
    (\valid_read(r) && in_use((char *)(r), sizeof(resource)) && lists_ok && listed((r)->kept_large) && \
     ((r)->upstream != \null ==> upstream_ok((r)->upstream)))

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
  @ requires owner: owner_begin < base(c) + desired && base(c) + *seen == owner_end;
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

/* --------------------------------------------------------------------- resource.cleanups -- */

/*@ assigns \nothing; */
static inline cleanup *cleanups_load_relaxed(const resource *r);

/*@ assigns \nothing; */
static inline bool cleanups_cas_relaxed(resource *r, cleanup *seen, cleanup *desired);

/*@ assigns \nothing; */
static inline void cleanups_store_relaxed(resource *r, cleanup *value);

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
  @ ensures resource_ok(\result);
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
