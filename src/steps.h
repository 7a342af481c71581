/* steps.h - every atomic access of the library, one function each; tools.c has others, for builds for tools only.
 *
 * A function's name says which word, what, and in which order. The comment says what the order is
 * paired with (pair), what it carries (carries), and the shortest run that goes wrong without it
 * (without). Where the order is relaxed it says why a stale value does no harm (stale).
 *
 * The outcomes of compare-and-swaps have names that specification, tests and comments share:
 *
 *   LoadHead LoadNext   CarveWon CarveLost         a block taken from a chunk, or not
 *                       InstallWon InstallLost     a new chunk made current
 *                       AdvanceWon AdvanceLost     a kept chunk made current
 *                       GrowWon GrowLost           a block resized in place
 *                       ShrinkWon ShrinkLost
 *   LoadLarge           LinkWon LinkLost           a new chunk for a large block joined
 *   LoadReserved        ReserveWon ReserveLost     bytes set aside under the limit
 *   Unreserve
 *   LoadCleanups        RegisterWon RegisterLost   a cleanup registered
 *   LoadLane            Bump                       a block taken from a lane
 *                       ExtendWon ExtendLost       a lane made longer in place
 *                       CloseWon CloseLost         a lane's rest given back
 *   LoadLanes           OpenWon OpenLost           a table of lanes joined; how many lanes are in use
 *   LoadSlots           TakeWon TakeLost           a slot taken by a thread
 *   Give                                           and given back by one that ends
 *   LoadPublished LoadWeight Count                 counters, by which sizes and patience are chosen
 *
 * All compare-and-swaps are strong: a lost one means that another thread's step took effect, which
 * is what lock-freedom counts. */
#ifndef TSMBR_STEPS_H
#define TSMBR_STEPS_H

#include "layout.h"

/* A checker may put a scheduling point before every step. */
#ifndef TSMBR_BEFORE_STEP
#define TSMBR_BEFORE_STEP() ((void)0)
#endif

/* Keeps the compiler from moving accesses across, for the sake of a signal handler that runs between
 * them. The processor needs no order for that: it is one thread. */
#define SIGNAL_FENCE() atomic_signal_fence(memory_order_seq_cst)

#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release

/* ---------------------------------------------------------------------------- chunk.next -- */

/* LoadNext. stale: every value next ever had is a valid offset, and CarveWon needs the present
 * one. A "no room" from a stale value costs at most a chunk asked for too early. */
static inline size_t next_load_relaxed(const chunk *c)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((chunk *)c)->next, RELAXED);
}

/* CarveWon, CarveLost; ExtendWon, ExtendLost; GrowWon, GrowLost. On failure *seen is the present value.
 * pair: next_cas_release. carries: the last use of bytes that their owner gave up by shrinking.
 * without: A writes the end of its block, shrinks it; B carves those bytes, writes them; A's write
 *   lands after B's.
 * failure relaxed: the value is only compared again. */
static inline bool next_cas_acquire(chunk *c, size_t *seen, size_t desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&c->next, seen, desired, ACQUIRE, RELAXED);
}

/* ShrinkWon, ShrinkLost; CloseWon, CloseLost. pair: next_cas_acquire; carves in between keep the release sequence.
 * carries: the owner's last use of the bytes it gives up. without: as there.
 * failure relaxed: a lost shrink gives up nothing. */
static inline bool next_cas_release(chunk *c, size_t *seen, size_t desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&c->next, seen, desired, RELEASE, RELAXED);
}

/* On a chunk no other thread can see: before it is published, or at rest. Publishing, or the
 * caller's own synchronization, carries the value. */
static inline void next_store_relaxed(chunk *c, size_t value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&c->next, value, RELAXED);
}

/* ------------------------------------------------------------------------- resource.head -- */

/* LoadHead. pair: head_cas_release. carries: the fields of the chunk read, and of all before it.
 * without: A fills a chunk and installs it; B sees it as head but reads its old allocation_ptr,
 *   and carves a block out of nowhere. */
static inline chunk *head_load_acquire(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->head, ACQUIRE);
}

/* InstallWon, InstallLost; AdvanceWon, AdvanceLost.
 * pair: head_load_acquire. carries: the fields of `desired`, the first block carved in it included.
 * without: as there.
 * failure relaxed: the loser starts over with a new LoadHead. */
static inline bool head_cas_release(resource *r, chunk *seen, chunk *desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&r->head, &seen, desired, RELEASE, RELAXED);
}

/* At rest: the caller's own synchronization carries it. */
static inline void head_store_relaxed(resource *r, chunk *value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->head, value, RELAXED);
}

/* ------------------------------------------------------------------------ resource.large -- */

/* LoadLarge. pair: large_cas_release. carries: the fields of the chunk read and of all before it,
 * for statistics and owns.
 * without: A links a chunk; B sees it and reads its old prev. */
static inline chunk *large_load_acquire(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->large, ACQUIRE);
}

/* LinkWon, LinkLost. pair: large_load_acquire. carries: the fields of `desired`. without: as there.
 * failure relaxed: the loser starts over with a new LoadLarge. */
static inline bool large_cas_release(resource *r, chunk *seen, chunk *desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&r->large, &seen, desired, RELEASE, RELAXED);
}

/* At rest: the caller's own synchronization carries it. */
static inline void large_store_relaxed(resource *r, chunk *value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->large, value, RELAXED);
}

/* --------------------------------------------------------------------- resource.reserved -- */

/* LoadReserved. stale: ReserveWon needs the present value; sizes chosen from a stale one are
 * checked again by it. */
static inline size_t reserved_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->reserved, RELAXED);
}

/* ReserveWon, ReserveLost. On failure *seen is the present value.
 * pair: reserved_sub_release. carries: that the upstream has the bytes back.
 * without: A's bytes go back to the upstream and are un-reserved; B reserves them and asks the
 *   upstream, which sees B's request before A's return: more than the limit is held.
 * failure relaxed: the value is only compared again. */
static inline bool reserved_cas_acquire(resource *r, size_t *seen, size_t desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&r->reserved, seen, desired, ACQUIRE, RELAXED);
}

/* Unreserve. pair: reserved_cas_acquire. carries, without: as there. */
static inline void reserved_sub_release(resource *r, size_t bytes)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_sub_explicit(&r->reserved, bytes, RELEASE);
}

/* At rest: the caller's own synchronization carries it. */
static inline void reserved_store_relaxed(resource *r, size_t value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->reserved, value, RELAXED);
}

/* ----------------------------------------------------------------------------- counters -- */

/* LoadPublished. stale: at most too small, which makes a call look again before it is refused. */
static inline size_t published_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->published, RELAXED);
}

/* LoadWeight. stale: at most too small, which makes the next chunk smaller than it could be. */
static inline size_t large_weight_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->large_weight, RELAXED);
}

/* Count. stale: while other threads run, only the two loads above and statistics read these. */
static inline void published_add_relaxed(resource *r, size_t bytes)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_add_explicit(&r->published, bytes, RELAXED);
}

static inline void large_weight_add_relaxed(resource *r, size_t bytes)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_add_explicit(&r->large_weight, bytes, RELAXED);
}

static inline void unused_add_relaxed(resource *r, size_t bytes)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_add_explicit(&r->unused, bytes, RELAXED);
}

static inline void lost_add_relaxed(resource *r, size_t count)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_add_explicit(&r->lost, count, RELAXED);
}

/* For statistics; decides nothing. */
static inline size_t lost_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->lost, RELAXED);
}

/* For statistics; decides nothing. */
static inline size_t unused_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->unused, RELAXED);
}

/* At rest: the caller's own synchronization carries it. */
static inline void published_store_relaxed(resource *r, size_t value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->published, value, RELAXED);
}

static inline void unused_store_relaxed(resource *r, size_t value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->unused, value, RELAXED);
}

static inline void large_weight_store_relaxed(resource *r, size_t value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->large_weight, value, RELAXED);
}

/* --------------------------------------------------------------------- resource.cleanups -- */

/* LoadCleanups. stale: RegisterWon needs the present value. Not followed while other threads run. */
static inline cleanup *cleanups_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->cleanups, RELAXED);
}

/* RegisterWon, RegisterLost. Relaxed: records are read at rest only, after the caller's own
 * synchronization with every thread that registered one, which carries their fields. */
static inline bool cleanups_cas_relaxed(resource *r, cleanup *seen, cleanup *desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&r->cleanups, &seen, desired, RELAXED, RELAXED);
}

/* At rest. */
static inline void cleanups_store_relaxed(resource *r, cleanup *value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->cleanups, value, RELAXED);
}

/* ------------------------------------------------------------------------ resource.lanes -- */

/* LoadLanes. pair: lanes_cas_release. carries: the table's empty lanes.
 * without: A makes a table and publishes it; B, whose lane is in it, reads what the memory held before
 *   as cursor and end, and hands out bytes of nowhere. */
static inline lane *lanes_load_acquire(const resource *r, unsigned group)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->lanes[group], ACQUIRE);
}

/* OpenWon, OpenLost. pair: lanes_load_acquire. carries: the table's empty lanes. without: as there.
 * failure relaxed: the loser looks again with a new LoadLanes. */
static inline bool lanes_cas_release(resource *r, unsigned group, lane *desired)
{
    lane *seen = NULL;
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&r->lanes[group], &seen, desired, RELEASE, RELAXED);
}

/* At rest: the caller's own synchronization carries it. */
static inline void lanes_store_relaxed(resource *r, unsigned group, lane *value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->lanes[group], value, RELAXED);
}

/* LoadLanes. stale: too small, as lanes that have got a run meanwhile are not counted: a run comes out larger, and
 * a first one may be counted beyond need. */
static inline size_t lanes_used_load_relaxed(const resource *r)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((resource *)r)->lanes_used, RELAXED);
}

/* Count. */
static inline void lanes_used_add_relaxed(resource *r)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_add_explicit(&r->lanes_used, 1, RELAXED);
}

/* At rest: the caller's own synchronization carries it. */
static inline void lanes_used_store_relaxed(resource *r, size_t value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&r->lanes_used, value, RELAXED);
}

/* ---------------------------------------------------------------------------------- lane -- */

/* LoadLane. stale: the owner reads what it wrote itself; slots_cas_acquire carries what an owner before
 * it wrote. Statistics may read any value there was. */
static inline unsigned char *lane_cursor_load_relaxed(const lane *l)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((lane *)l)->cursor, RELAXED);
}

static inline unsigned char *lane_end_load_relaxed(const lane *l)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((lane *)l)->end, RELAXED);
}

/* Bump. By the owner alone, or before the table is published. */
static inline void lane_cursor_store_relaxed(lane *l, unsigned char *value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&l->cursor, value, RELAXED);
}

static inline void lane_end_store_relaxed(lane *l, unsigned char *value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&l->end, value, RELAXED);
}

/* --------------------------------------------------------------------------------- slots -- */

/* LoadSlots. stale: TakeWon needs the present value. */
static inline size_t slots_load_relaxed(const slots *s, unsigned word)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((slots *)s)->taken[word], RELAXED);
}

/* TakeWon, TakeLost. On failure *seen is the present value.
 * pair: slots_and_release. carries: the lanes as the slot's last owner left them.
 * without: A hands out a block from its lane and ends; B takes the slot, reads the old cursor, and
 *   hands out the same bytes.
 * failure relaxed: the value is only compared again. */
static inline bool slots_cas_acquire(slots *s, unsigned word, size_t *seen, size_t desired)
{
    TSMBR_BEFORE_STEP();
    return atomic_compare_exchange_strong_explicit(&s->taken[word], seen, desired, ACQUIRE, RELAXED);
}

/* Give. pair: slots_cas_acquire; other threads' changes in between keep the release sequence.
 * carries, without: as there. */
static inline void slots_and_release(slots *s, unsigned word, size_t mask)
{
    TSMBR_BEFORE_STEP();
    atomic_fetch_and_explicit(&s->taken[word], mask, RELEASE);
}

/* pair: key_ready_store_release. carries: the key. without: a thread reads the key before it was made. */
static inline bool key_ready_load_acquire(const slots *s)
{
    TSMBR_BEFORE_STEP();
    return atomic_load_explicit(&((slots *)s)->key_ready, ACQUIRE);
}

/* pair: key_ready_load_acquire. carries, without: as there. */
static inline void key_ready_store_release(slots *s, bool value)
{
    TSMBR_BEFORE_STEP();
    atomic_store_explicit(&s->key_ready, value, RELEASE);
}

#endif
