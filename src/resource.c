/* resource.c - the shared path: construction, allocation, growth, resizing in place.
 *
 * One allocation is: LoadHead; carve from that chunk. If it has no room and a kept chunk follows,
 * make that one current and start over; if none follows, get a chunk from the upstream, carve the
 * block while the chunk is still private, and publish it with the block in it. Publishing ends the winner's
 * call, so whoever loses has seen another call take effect: this is all of lock-freedom.
 *
 * A request that would fill much of a new chunk does not replace the current one: it is carved from a
 * chunk that reset kept of the large list, or gets a chunk of its own there. The current chunk's room
 * stays.
 *
 * Not here: release, reset and cleanups (lifetime.c), statistics (statistics.c). */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
/* sched_yield */
#define _POSIX_C_SOURCE 200112L // NOLINT(*-reserved-identifier,cert-dcl*): the system reads this name
#endif

#include <errno.h>
#include <string.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#endif

#include "lane.h"
#include "resource.h"

/* How often a call looks again before it asks the upstream for a chunk that another thread is
 * already asking for, and before it is refused for bytes that another thread may give back. Bounds,
 * so that nobody waits for a thread that does not run. */
#ifndef TSMBR_LOOKS /* a checker may want fewer */
#define TSMBR_LOOKS
enum { INSTALL_LOOKS = 16, RESERVE_LOOKS = 4096 };
#endif
/* A large chunk takes its time: the kernel clears a huge page for its record, and whoever asks for another one
 * meanwhile has that cleared in vain. A look more for so many bytes, up to the size at which growth stops
 * doubling. */
#define LOOK_BYTES ((size_t)64 << 10)

/*@ assigns errno; */
static void pause_thread(void)
{
#if defined(_WIN32)
    (void)SwitchToThread();
#else
    (void)sched_yield();
#endif
}

/* ---------------------------------------------------------------------------- construction -- */

static bool config_ok(const tsmbr_config *config)
{
    if ((config->flags & ~(TSMBR_SHARED_ONLY | TSMBR_NO_RECYCLE | TSMBR_RED_ZONES)) != 0)
        return false;
    if (config->upstream != NULL && (config->upstream->allocate == NULL || config->upstream->deallocate == NULL))
        return false;
    if (config->buffer == NULL)
        return config->buffer_size == 0;
    return config->buffer_size <= SIZE_MAX - (size_t)(uintptr_t)config->buffer;
}

size_t tsmbr_resource_with_tables(const resource *r, size_t bytes)
{
    /* The chunk may come out larger by what the record's place is rounded by. */
    size_t most = bytes <= SIZE_MAX - (PLACE_LINE - 1) ? bytes + (PLACE_LINE - 1) : bytes;
    size_t tables = (r->flags & TSMBR_SHARED_ONLY) != 0 ? 0 : place_tables(most);
    return bytes <= SIZE_MAX - tables ? bytes + tables : bytes;
}

int CORE(tsmbr_init)(tsmbr_resource *self, const tsmbr_config *config)
{
    if (self != NULL)
        memset(self, 0, sizeof *self);
    if (self == NULL || (config != NULL && !config_ok(config))) {
        errno = EINVAL;
        return EINVAL;
    }
    if (config == NULL)
        return 0;

    resource *r = resource_of(self);
    r->upstream = config->upstream;
    r->limit = config->limit;
    r->flags = config->flags;
    if (config->initial_size != 0)
        r->first_total = place_first_total(tsmbr_resource_with_tables(r, config->initial_size));
    else
        r->first_total = place_next_total(PLACE_FIRST_DEFAULT, config->buffer_size);
    if (config->buffer_size != 0) {
        r->buffer.allocation_ptr = config->buffer;
        r->buffer.capacity = config->buffer_size;
        head_store_relaxed(r, &r->buffer);
    }
    return 0;
}

const tsmbr_upstream *tsmbr_upstream_resource(const tsmbr_resource *self)
{
    TOOLS_CALL(self);
    return resource_upstream(resource_of_const(self));
}

int tsmbr_version(void)
{
    return TSMBR_VERSION;
}

/* ---------------------------------------------------------------------------------- growth -- */

/* Most bytes that may be reserved. Without a limit the count may even wrap: it is undone as it was
 * done, and refuses nobody. */
/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures \result <==> r->limit == 0 || reserved + total <= r->limit;
  @*/
static bool resource_has_room(const resource *r, size_t reserved, size_t total)
{
    return r->limit == 0 || (reserved <= r->limit && total <= r->limit - reserved);
}

/* What one call carries through its rounds. */
typedef struct request {
    size_t bytes;
    size_t alignment;
    size_t need;                    /* bytes of chunk that serve it anywhere; SIZE_MAX: no chunk can */
    const tsmbr_upstream *upstream; /* NULL: memory already held only */
    chunk *c;                       /* the current chunk when this round began; NULL: there was none */
    bool moved;                     /* another chunk has been seen current since */
    size_t grown;                   /* size of the next chunk if nothing stands in its way */
    size_t lost;                    /* compare-and-swaps lost so far */
} request;

/* Whether another chunk is current by now: then there is new room to try first. */
/*@ requires request_ok(r, q);
  @ assigns q->moved;
  @ ensures request_ok(r, q);
  @ ensures \result == q->moved && (\old(q->moved) ==> \result);
  @*/
static bool request_moved(const resource *r, request *q)
{
    if (!q->moved)
        q->moved = head_load_acquire(r) != q->c;
    return q->moved;
}

/* Set `total` bytes aside under the limit. False if they do not fit under it, or if another chunk
 * has become current.
 *
 * Bytes that other threads have reserved and not published may come back. As long as they would
 * make the difference, look again, a bounded number of times. */
/*@ requires request_ok(r, q) && idle;
  @ assigns unsettled, q->moved, errno;
  @ ensures request_ok(r, q);
  @ ensures yes: \result ==> unsettled == total;
  @ ensures no: !\result ==> unsettled == 0;
  @*/
static bool resource_reserve(resource *r, request *q, size_t total)
{
    size_t seen = reserved_load_relaxed(r);
    /*@ loop invariant request_ok(r, q) && idle && 0 <= looks;
      @ loop invariant r->limit != 0 ==> seen <= r->limit;
      @ loop assigns looks, seen, unsettled, q->moved, errno;
      @*/
    for (int looks = 0; looks <= RESERVE_LOOKS;) {
        if (resource_has_room(r, seen, total)) {
            if (reserved_cas_acquire(r, &seen, seen + total))
                return true;
            continue;
        }
        if (!resource_has_room(r, published_load_relaxed(r), total) || request_moved(r, q))
            return false;
        pause_thread();
        seen = reserved_load_relaxed(r);
        ++looks;
    }
    return false;
}

/* Give another thread the time to install the chunk it is asking for. True if one became current. */
/*@ requires request_ok(r, q);
  @ assigns q->moved, errno;
  @ ensures request_ok(r, q);
  @ ensures \result ==> q->moved;
  @*/
static bool resource_await(const resource *r, request *q, size_t total)
{
    size_t most = (size_t)INSTALL_LOOKS + (total < PLACE_GROWTH_CAP ? total : PLACE_GROWTH_CAP) / LOOK_BYTES;
    /*@ loop invariant request_ok(r, q) && 0 <= looks <= most;
      @ loop assigns looks, q->moved, errno;
      @ loop variant most - looks;
      @*/
    for (size_t looks = 0; looks < most; looks++) {
        size_t published = published_load_relaxed(r);
        size_t reserved = reserved_load_relaxed(r);
        if (reserved < published || reserved - published < total)
            return false;
        pause_thread();
        if (request_moved(r, q))
            return true;
    }
    return false;
}

/* A private chunk of `total` bytes with the block in it, reserved under the limit; NULL with nothing
 * changed. */
/*@ requires request_ok(r, q) && idle && q->upstream != \null && q->need <= total && q->need != SIZE_MAX;
  @ requires \valid(block) && \separated(block, q) && \separated(block, q->upstream);
  @ requires apart((char *)block, sizeof(*block)) && in_use((char *)block, sizeof(*block));
  @ requires \separated(block, r) && (r->upstream != \null ==> \separated(block, r->upstream));
  @ assigns OWED, errno, STORE, q->moved, *block;
  @ ensures request_ok(r, q);
  @ ensures no: \result == \null ==> settled;
  @ ensures yes: \result != \null ==> *block != \null && filled(\result) &&
  @     first(\result, *block, q->bytes, q->alignment) && unsettled == total && borrowed_bytes == total;
  @*/
static chunk *resource_obtain(resource *r, request *q, size_t total, void **block)
{
    if (!resource_reserve(r, q, total))
        return NULL;
    chunk *n = tsmbr_chunk_obtain(q->upstream, total);
    if (n == NULL) {
        reserved_sub_release(r, total);
        return NULL;
    }
    /*@ assert \separated(n, q) && \separated(n, block); */
    /*@ assert q->need == need(q->bytes, q->alignment) <= n->allocation_size && 0 < q->alignment; */
    /*@ assert 0 <= base(n); */
    /*@ assert fits(base(n), n->capacity, 0, q->bytes, q->alignment, padding(base(n), q->alignment)); */
    *block = chunk_carve_private(n, q->bytes, q->alignment);
    /*@ assert request_ok(r, q); */
    ENSURE(*block != NULL);
    return n;
}

/* Put the block into a new chunk and make that current after q->c, the last of the kept ones. NULL
 * if it was refused, or InstallLost. */
/*@ requires request_ok(r, q) && idle && q->upstream != \null && q->need <= total && q->need != SIZE_MAX;
  @ requires q->c == \null || q->c->follow == \null;
  @ assigns TAKEN, OWED, errno, STORE, q->moved, q->lost;
  @ ensures request_ok(r, q);
  @ ensures done: settled;
  @ ensures no: \result == \null ==> won == \null;
  @ ensures yes: \result != \null ==> took(\result, q->bytes, q->alignment);
  @*/
static void *resource_install(resource *r, request *q, size_t total)
{
    chunk *c = q->c;
    REQUIRE(c == NULL || c->follow == NULL);
    void *block = NULL;
    /*@ ghost upstream_avoids((char *)&block, sizeof block); */
    chunk *n = resource_obtain(r, q, total, &block);
    if (n == NULL)
        return NULL;
    /*@ assert 0 <= n->next - q->bytes < n->capacity; */
    /*@ assert block != \null; */
    /*@ assert \separated(n, q) && \separated(n, &block) && \separated(n, r) && \separated(n, q->upstream); */
    n->prev = c;
    n->held = (c != NULL ? c->held : 0) + total;
    /*@ assert first(n, block, q->bytes, q->alignment) && block != \null; */
    /*@ assert \forall chunk *o; shared(o) ==> chunk_ok(o); */
    /*@ assert request_ok(r, q); */
    if (head_cas_release(r, c, n)) {
        /*@ assert took(block, q->bytes, q->alignment) && block != \null; */
        published_add_relaxed(r, total);
        return block;
    }
    q->moved = true;
    ++q->lost;
    tsmbr_chunk_give_back(q->upstream, n);
    reserved_sub_release(r, total);
    /*@ assert request_ok(r, q); */
    return NULL;
}

/* A chunk with a large block counts in growth as a next chunk, had it been one, so that requests of
 * any size make chunks grow, and a single huge one does not make them huge. */
/*@ assigns \nothing; */
static void resource_weigh(resource *r, size_t total, size_t grown)
{
    large_weight_add_relaxed(r, total < grown ? total : grown);
}

/* Put the block into a new chunk of its own. NULL if it was refused. LinkLost is another thread's
 * LinkWon, whose call is then finished. */
/*@ requires request_ok(r, q) && idle && q->upstream != \null && q->need != SIZE_MAX;
  @ assigns TAKEN, OWED, errno, STORE, q->moved, q->lost;
  @ ensures request_ok(r, q);
  @ ensures done: settled;
  @ ensures no: \result == \null ==> won == \null;
  @ ensures yes: \result != \null ==> took(\result, q->bytes, q->alignment);
  @*/
static void *resource_link(resource *r, request *q)
{
    void *block = NULL;
    /*@ ghost upstream_avoids((char *)&block, sizeof block); */
    chunk *n = resource_obtain(r, q, q->need, &block);
    if (n == NULL)
        return NULL;
    /*@ assert \separated(n, q) && \separated(n, &block) && \separated(n, r) && \separated(n, q->upstream); */
    /*@ loop invariant request_ok(r, q) && won == \null && filled(n) && unsettled == q->need;
      @ loop invariant first(n, block, q->bytes, q->alignment);
      @ loop assigns n->prev, q->lost, TAKEN, borrowed, borrowed_bytes;
      @*/
    for (;;) {
        chunk *seen = large_load_acquire(r);
        n->prev = seen;
        /*@ assert \forall chunk *c; shared(c) ==> chunk_ok(c); */
        /*@ assert request_ok(r, q); */
        if (large_cas_release(r, seen, n))
            break;
        ++q->lost;
    }
    published_add_relaxed(r, q->need);
    resource_weigh(r, q->need, q->grown);
    return block;
}

/* Put the block into an empty chunk of about its size that reset kept of the large list. */
/*@ requires request_ok(r, q) && idle;
  @ assigns TAKEN, q->lost;
  @ ensures request_ok(r, q);
  @ ensures answered(\result, q->bytes, q->alignment);
  @*/
static void *resource_claim(resource *r, request *q)
{
    /*@ loop invariant request_ok(r, q) && idle && listed(kept);
      @ loop assigns kept, q->lost, TAKEN;
      @*/
    for (chunk *kept = r->kept_large; kept != NULL; kept = kept->follow) {
        size_t total = kept->allocation_size;
        if (next_load_relaxed(kept) != 0 || q->need > total || place_shares(q->need, total))
            continue;
        void *block = chunk_carve(kept, q->bytes, q->alignment, CHUNK_INSIST, &q->lost);
        if (block != NULL) {
            resource_weigh(r, total, q->grown);
            return block;
        }
    }
    return NULL;
}

/* The last resort: put the block into any chunk that is held and has room, left behind or not. */
/*@ requires request_ok(r, q) && idle;
  @ assigns TAKEN, q->lost;
  @ ensures request_ok(r, q);
  @ ensures answered(\result, q->bytes, q->alignment);
  @*/
static void *resource_carve_any(resource *r, request *q)
{
    /*@ loop invariant request_ok(r, q) && idle && walk_ok(&w);
      @ loop assigns w, q->lost, TAKEN;
      @*/
    for (walk w = walk_from(r, q->c); w.c != NULL; walk_on(&w)) {
        void *block = chunk_carve(w.c, q->bytes, q->alignment, CHUNK_INSIST, &q->lost);
        if (block != NULL)
            return block;
    }
    return NULL;
}

/* The size of the next chunk under the limit: of what is left, half, so that threads that need a
 * chunk at the same time find something, too. */
/*@ requires request_ok(r, q);
  @ assigns \nothing;
  @ ensures \result <= \max(q->grown, q->need);
  @ ensures r->limit != 0 ==> 2 * \result <= r->limit;
  @*/
static size_t resource_next_total(const resource *r, const request *q)
{
    size_t total = q->c == NULL && q->grown < q->need ? q->need : q->grown;
    size_t reserved = reserved_load_relaxed(r);
    if (r->limit != 0 && total > (r->limit - reserved) / 2)
        total = (r->limit - reserved) / 2;
    return total;
}

/* A block for a request from memory other than the current chunk and those that follow it. NULL
 * if there was none to be had, or if another chunk has become current. */
/*@ requires request_ok(r, q) && idle;
  @ assigns TAKEN, OWED, errno, STORE, q->moved, q->lost;
  @ ensures request_ok(r, q);
  @ ensures no: settled && (\result == \null ==> won == \null);
  @ ensures yes: \result != \null ==> took(\result, q->bytes, q->alignment);
  @*/
static void *resource_extend(resource *r, request *q)
{
    const chunk *c = q->c;
    bool may_ask = q->upstream != NULL && q->need != SIZE_MAX;
    size_t total = resource_next_total(r, q);
    bool shares = c == NULL ? q->need <= total : c->follow == NULL && place_shares(q->need, total);
    void *block = NULL;
    if (shares && may_ask) {
        if (!resource_await(r, q, total))
            block = resource_install(r, q, total);
        /*@ assert answered(block, q->bytes, q->alignment); */
        if (block != NULL || request_moved(r, q))
            return block;
        /* The upstream refused that much; perhaps it has just enough. */
    }
    if (!shares || may_ask)
        block = resource_claim(r, q);
    /*@ assert answered(block, q->bytes, q->alignment); */
    if (block == NULL && may_ask)
        block = resource_link(r, q);
    /*@ assert answered(block, q->bytes, q->alignment); */
    if (block == NULL && !q->moved && q->upstream != NULL)
        block = resource_carve_any(r, q);
    return block;
}

/* -------------------------------------------------------------------------------- allocation -- */

/* One round of the allocation loop: a block, or NULL. Leaves q->moved true if another chunk has
 * become current, and another round may do better. */
/*@ requires request_ok(r, q) && idle;
  @ assigns TAKEN, OWED, errno, STORE, q->moved, q->lost, q->c, q->grown;
  @ ensures request_ok(r, q);
  @ ensures answered(\result, q->bytes, q->alignment);
  @*/
static void *resource_round(resource *r, request *q)
{
    chunk *c = head_load_acquire(r);
    q->c = c;
    q->moved = false;
    void *block = NULL;
    if (c != NULL)
        block = chunk_carve(c, q->bytes, q->alignment, CHUNK_INSIST, &q->lost);
    if (block != NULL)
        return block;
    size_t first = r->first_total != 0 ? r->first_total : PLACE_FIRST_DEFAULT;
    q->grown = place_next_total(first, (c != NULL ? c->held : 0) + large_weight_load_relaxed(r));
    if (c != NULL && c->follow != NULL && place_shares(q->need, q->grown)) {
        if (!head_cas_release(r, c, c->follow)) /* AdvanceWon, or AdvanceLost to one who did it */
            ++q->lost;
        q->moved = true;
        return NULL;
    }
    block = resource_extend(r, q);
    if (block == NULL)
        (void)request_moved(r, q);
    return block;
}

/* Stand for: from memory already held; in_handler for: perhaps by a signal handler. */
static const tsmbr_upstream no_upstream;
static const tsmbr_upstream in_handler;

/* Everything after the first attempt, out of the way of the fast path. */
/*@ requires resource_ok(r) && idle && 0 < bytes;
  @ requires upstream == \null || upstream == &no_upstream || upstream == &in_handler || upstream_ok(upstream);
  @ assigns TAKEN, OWED, errno, STORE;
  @ ensures resource_ok(r);
  @ ensures answered(\result, bytes, alignment);
  @ ensures errno == \old(errno);
  @*/
static TSMBR_COLD void *resource_allocate_slow(resource *r, size_t bytes, size_t alignment,
                                               const tsmbr_upstream *upstream, size_t lost)
{
    if (!place_alignment_ok(alignment))
        return NULL;
    int saved_errno = errno;
    request q = {bytes, alignment, SIZE_MAX, upstream, NULL, false, 0, lost};
    if (upstream == NULL)
        q.upstream = resource_upstream(r);
    else if (upstream == &no_upstream || upstream == &in_handler)
        q.upstream = NULL;
    if (!place_total(bytes, alignment, &q.need))
        q.need = SIZE_MAX;
    /*@ ghost upstream_avoids((char *)&q, sizeof q); */
    void *block = resource_round(r, &q);
    /*@ loop invariant request_ok(r, &q);
      @ loop invariant answered(block, q.bytes, q.alignment);
      @ loop assigns block, q.moved, q.lost, q.c, q.grown, TAKEN, OWED, errno, STORE;
      @*/
    while (block == NULL && q.moved)
        block = resource_round(r, &q);
    if (q.lost != 0)
        lost_add_relaxed(r, q.lost);
    errno = saved_errno;
    return block;
}

/* Without lanes, the whole of most calls: LoadHead, LoadNext, CarveWon. NULL with nothing changed if r may have
 * lanes, the chunk has no room, or the race was lost. */
/*@ requires resource_ok(r) && idle && \valid(lost) && apart((char *)lost, sizeof(*lost));
  @ requires \separated(lost, r);
  @ assigns TAKEN, *lost;
  @ ensures lists: lists_ok;
  @ ensures no: \result == \null ==> idle;
  @ ensures yes: \result != \null ==> took(\result, \max(1, bytes), alignment);
  @*/
static inline void *resource_allocate_shared(resource *r, size_t bytes, size_t alignment, size_t *lost)
{
    if (TSMBR_UNLIKELY((r->flags & TSMBR_SHARED_ONLY) == 0 || !place_alignment_ok(alignment)))
        return NULL;
    chunk *c = head_load_acquire(r);
    return TSMBR_LIKELY(c != NULL) ? chunk_carve(c, place_bytes(bytes), alignment, 1, lost) : NULL;
}

/* What resource_allocate_shared leaves: from the current chunk, with more for the thread's lane if it may be, or
 * from a new one. A NULL upstream is the resource's own, which is looked up only when it is needed. `lost` races
 * are to be counted. Leaves errno alone. */
/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && idle;
  @ requires upstream == \null || upstream == &no_upstream || upstream == &in_handler || upstream_ok(upstream);
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures errno == \old(errno);
  @*/
static TSMBR_OUT_OF_LINE void *resource_allocate_beside(resource *r, size_t bytes, size_t alignment,
                                                        const tsmbr_upstream *upstream, size_t lost)
{
    bytes = place_bytes(bytes);
    if ((r->flags & TSMBR_SHARED_ONLY) != 0)
        return resource_allocate_slow(r, bytes, alignment, upstream, lost);
    chunk *c = head_load_acquire(r);
    /*@ ghost if (c) sees_chunk(c); */
    if (c != NULL && place_alignment_ok(alignment)) {
        void *block = c->capacity < PLACE_LANES_FROM
                          ? chunk_carve(c, bytes, alignment, 1, &lost)
                          : tsmbr_lane_serve(r, c, bytes, alignment, upstream != &in_handler, &lost);
        if (block != NULL) {
            if (lost != 0)
                lost_add_relaxed(r, lost);
            return block;
        }
    }
    return resource_allocate_slow(r, bytes, alignment, upstream, lost);
}

void *tsmbr_resource_carve(resource *r, size_t bytes, size_t alignment)
{
    size_t lost = 0;
    void *block = chunk_carve(head_load_acquire(r), bytes, alignment, 1, &lost);
    if (block == NULL)
        block = chunk_carve(head_load_acquire(r), bytes, alignment, CHUNK_INSIST, &lost);
    if (lost != 0)
        lost_add_relaxed(r, lost);
    return block;
}

/* errno for a request that failed. */
/*@ assigns errno;
  @ ensures \result == \null;
  @ ensures power_of_two(alignment) ==> errno == ENOMEM;
  @ ensures !power_of_two(alignment) ==> errno == EINVAL;
  @*/
static TSMBR_COLD void *refuse(size_t alignment)
{
    errno = place_alignment_ok(alignment) ? ENOMEM : EINVAL;
    return NULL;
}

/* What the calls that follow do first is Bump; then, out of its way so that it needs no frame, the shared path. A
 * NULL upstream is the resource's own, which is looked up only when it is needed. errno changes only where a
 * request fails. */
/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && idle;
  @ requires upstream == \null || upstream == &no_upstream || upstream_ok(upstream);
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures \result != \null ==> errno == \old(errno);
  @*/
static TSMBR_COLD void *resource_beside_or_refuse(resource *r, size_t bytes, size_t alignment,
                                                  const tsmbr_upstream *upstream, size_t lost)
{
    void *block = resource_allocate_beside(r, bytes, alignment, upstream, lost);
    return block != NULL ? block : refuse(alignment);
}

/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && idle;
  @ requires upstream == \null || upstream == &no_upstream || upstream_ok(upstream);
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures \result != \null ==> errno == \old(errno);
  @*/
static TSMBR_OUT_OF_LINE void *resource_allocate_or_refuse(resource *r, size_t bytes, size_t alignment,
                                                           const tsmbr_upstream *upstream)
{
    size_t lost = 0;
    void *block = resource_allocate_shared(r, bytes, alignment, &lost);
    return TSMBR_LIKELY(block != NULL) ? block : resource_beside_or_refuse(r, bytes, alignment, upstream, lost);
}

/*@ requires usable(self) && idle && lane_ok;
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures \result != \null ==> errno == \old(errno);
  @*/
void *CORE(tsmbr_allocate)(tsmbr_resource *self, size_t bytes, size_t alignment)
{
    resource *r = resource_of(self);
    void *block;
    if (lane_allocate(r, bytes, alignment, &block))
        return block;
    return resource_allocate_or_refuse(r, bytes, alignment, NULL);
}

static TSMBR_COLD void *resource_beside_or_call(tsmbr_wrapped *self, size_t bytes, size_t alignment, size_t lost)
{
    void *block = resource_allocate_beside(resource_of(&self->resource), bytes, alignment, &no_upstream, lost);
    return block != NULL ? block : TOOLS_OTHERWISE(self, bytes, alignment);
}

static TSMBR_OUT_OF_LINE void *resource_allocate_or_call(tsmbr_wrapped *self, size_t bytes, size_t alignment)
{
    size_t lost = 0;
    void *block = resource_allocate_shared(resource_of(&self->resource), bytes, alignment, &lost);
    return TSMBR_LIKELY(block != NULL) ? block : resource_beside_or_call(self, bytes, alignment, lost);
}

void *CORE(tsmbr_allocate_or_call)(tsmbr_wrapped *self, size_t bytes, size_t alignment)
{
    void *block;
    if (lane_allocate(resource_of(&self->resource), bytes, alignment, &block))
        return block;
    return resource_allocate_or_call(self, bytes, alignment);
}

/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && idle;
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures errno == \old(errno);
  @*/
static TSMBR_OUT_OF_LINE void *resource_allocate_or_null(resource *r, size_t bytes, size_t alignment)
{
    size_t lost = 0;
    void *block = resource_allocate_shared(r, bytes, alignment, &lost);
    return TSMBR_LIKELY(block != NULL) ? block : resource_allocate_beside(r, bytes, alignment, &in_handler, lost);
}

/*@ requires usable(self) && idle && lane_ok;
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures errno == \old(errno);
  @*/
void *CORE(tsmbr_try_allocate)(tsmbr_resource *self, size_t bytes, size_t alignment)
{
    resource *r = resource_of(self);
    void *block;
    if (lane_allocate(r, bytes, alignment, &block))
        return block;
    return resource_allocate_or_null(r, bytes, alignment);
}

/*@ requires usable(self) && idle && lane_ok && (upstream == \null || upstream_ok(upstream));
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, bytes), alignment);
  @ ensures \result != \null ==> errno == \old(errno);
  @*/
void *CORE(tsmbr_allocate_from)(tsmbr_resource *self, size_t bytes, size_t alignment,
                                const tsmbr_upstream *upstream)
{
    resource *r = resource_of(self);
    void *block;
    if (lane_allocate(r, bytes, alignment, &block))
        return block;
    return resource_allocate_or_refuse(r, bytes, alignment, upstream != NULL ? upstream : &no_upstream);
}

/*@ requires usable(self) && idle && lane_ok;
  @ assigns CALL, errno;
  @ ensures lies: run_lies;
  @ ensures done: settled;
  @ ensures served: served(\result, \max(1, count * size), alignment);
  @ ensures \result != \null ==> errno == \old(errno);
  @*/
void *tsmbr_allocate_array(tsmbr_resource *self, size_t count, size_t size, size_t alignment)
{
    TOOLS_CALL(self);
    size_t bytes = 0;
    if (!place_product(count, size, &bytes))
        return refuse(alignment);
    return tsmbr_allocate(self, bytes, alignment);
}

void CORE(tsmbr_deallocate)(tsmbr_resource *self, void *ptr, size_t bytes, size_t alignment)
{
    (void)self;
    (void)ptr;
    (void)bytes;
    (void)alignment;
}

/* ---------------------------------------------------------------------------------- resizing -- */

/* Whether the block that ends at `ptr + old_bytes` is the last of this thread's lane in r, and if so, its
 * new size, if it can be had. */
/*@ requires resource_ok(r) && thread_apart(r) && lane_ok && idle && ptr != \null;
  @ requires \valid(resized) && apart((char *)resized, sizeof(*resized));
  @ requires \separated(resized, THREAD) && \separated(resized, mine);
  @ requires 0 < old_bytes && 0 < new_bytes && old_bytes != new_bytes;
  @ requires owner: owns_block(ptr, old_bytes);
  @ assigns TAKEN, RUN, LANE, *resized;
  @ ensures lies: run_lies;
  @ ensures other: !\result ==> won == \null && run_same;
  @ ensures grown: \result && *resized && new_bytes > old_bytes ==> run_grown(new_bytes - old_bytes) &&
  @     base(\old(home)) + \old(run_at) == owner_end;
  @ ensures shrunk: \result && new_bytes < old_bytes ==> *resized && won == \null &&
  @     (run_same || run_shrunk(old_bytes - new_bytes));
  @ ensures kept: \result && !*resized ==> won == \null && run_same;
  @*/
static bool lane_resize(resource *r, unsigned char *ptr, size_t old_bytes, size_t new_bytes, bool *resized)
{
    thread_state *thread = TSMBR_THREAD;
    lane *l = lane_mine(r, thread);
    if (l == NULL)
        return false;
    thread_enter(thread);
    tsmbr_lane run = lane_open(l);
    /* By subtraction: a sum of what is no block's may wrap, and meet the cursor of an empty lane. */
    size_t end = (size_t)(uintptr_t)run.cursor;
    bool last = old_bytes <= end && end - old_bytes == (size_t)(uintptr_t)ptr;
    if (last) {
        size_t lost = 0;
        *resized = new_bytes <= old_bytes || tsmbr_run_grow(r, &run, new_bytes - old_bytes, &lost);
        if (new_bytes < old_bytes)
            tsmbr_run_shrink(r, &run, old_bytes - new_bytes, &lost);
        lane_close(l, &run);
        if (lost != 0)
            lost_add_relaxed(r, lost);
    }
    thread_leave(thread);
    return last;
}

/* The same for the last block of the current chunk. */
/*@ requires resource_ok(r) && idle && 0 < old_bytes && 0 < new_bytes && old_bytes != new_bytes && ptr != \null;
  @ requires owner: owns_block(ptr, old_bytes);
  @ assigns TAKEN;
  @ ensures grown: \result && new_bytes > old_bytes ==> won != \null && base(won) + won_from == owner_end &&
  @     won_to <= won->capacity && base(won) + won_to == owner_begin + new_bytes;
  @ ensures kept: !\result || new_bytes <= old_bytes ==> won == \null;
  @*/
static bool chunk_resize(resource *r, const unsigned char *ptr, size_t old_bytes, size_t new_bytes)
{
    chunk *c = head_load_acquire(r);
    if (c == NULL)
        return new_bytes < old_bytes;
    size_t seen = next_load_relaxed(c);
    size_t begin = (size_t)(uintptr_t)ptr - chunk_base(c);
    if (seen < old_bytes || seen - old_bytes != begin)
        return new_bytes < old_bytes; /* not the last block, or not in this chunk */
    if (new_bytes < old_bytes) {
        if (!next_cas_release(c, &seen, begin + new_bytes))
            lost_add_relaxed(r, 1);
        return true;
    }
    if (new_bytes - old_bytes > c->capacity - seen)
        return false;
    if (next_cas_acquire(c, &seen, begin + new_bytes))
        return true;
    lost_add_relaxed(r, 1);
    return false;
}

/*@ requires usable(self) && idle && lane_ok;
  @ requires owner: ptr != \null ==> owns_block(ptr, \max(1, old_bytes));
  @ assigns TAKEN, RUN, LANE;
  @ ensures lies: run_lies;
  @ ensures grown: \result && \max(1, new_bytes) > \max(1, old_bytes) ==>
  @     (won != \null && run_same && base(won) + won_from == owner_end && won_to <= won->capacity &&
  @         base(won) + won_to == owner_begin + \max(1, new_bytes)) ||
  @     (run_grown(\max(1, new_bytes) - \max(1, old_bytes)) && base(\old(home)) + \old(run_at) == owner_end);
  @ ensures shrunk: \max(1, new_bytes) <= \max(1, old_bytes) ==> won == \null &&
  @     (run_same || run_shrunk(\max(1, old_bytes) - \max(1, new_bytes)));
  @ ensures kept: !\result ==> won == \null && run_same;
  @*/
bool CORE(tsmbr_try_resize)(tsmbr_resource *self, void *ptr, size_t old_bytes, size_t new_bytes)
{
    resource *r = resource_of(self);
    if (ptr == NULL)
        return false;
    old_bytes = place_bytes(old_bytes);
    new_bytes = place_bytes(new_bytes);
    bool resized = new_bytes == old_bytes;
    if (!resized && !lane_resize(r, ptr, old_bytes, new_bytes, &resized))
        resized = chunk_resize(r, ptr, old_bytes, new_bytes);
    return resized;
}

void *CORE(tsmbr_reallocate)(tsmbr_resource *self, void *ptr, size_t old_bytes, size_t new_bytes, size_t alignment)
{
    if (place_alignment_ok(alignment) && ((uintptr_t)ptr & (alignment - 1)) == 0 &&
        tsmbr_try_resize(self, ptr, old_bytes, new_bytes))
        return ptr;
    void *block = tsmbr_allocate(self, new_bytes, alignment);
    size_t kept = old_bytes < new_bytes ? old_bytes : new_bytes;
    if (block != NULL && ptr != NULL && kept != 0)
        memcpy(block, ptr, kept);
    return block;
}
