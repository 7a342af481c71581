/* InstallWon / InstallLost: 64 threads meet the ends of chunks, thousands of times; and eight that ask two
 * upstreams for the same one.
 *
 * Others' faults: every thread installs a chunk of its own and leaves the last one nearly empty;
 * blink-alloc, where each thread in the queue adds a bigger one; rocksdb 4147, where 64 shards took
 * 64 MiB at once; and, under a thread sanitizer, valkey-search 1297, a chunk published by a relaxed
 * store. */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 64, BLOCKS = 120, BYTES = 96 };

typedef struct storm {
    watch w;
    tsmbr_upstream slow;
    tsmbr_resource r;
    atomic_size_t surplus; /* most chunks seen held but not in use */
    atomic_size_t faults;
    atomic_size_t chunk_ends;
    atomic_size_t granted;
    atomic_size_t returned;
    unsigned char *blocks[THREADS][BLOCKS];
} storm;

static void raise_to(atomic_size_t *most, size_t value)
{
    size_t seen = atomic_load(most);
    while (seen < value && !atomic_compare_exchange_weak(most, &seen, value))
        ;
}

/* The time between asking and installing is where others arrive: make it long. */
static void *slow_allocate(void *context, size_t bytes, size_t alignment)
{
    storm *s = context;
    void *p = s->w.upstream.allocate(&s->w, bytes, alignment);
    size_t granted = ++s->granted;
    sched_yield();
    /* In use is read last, so it can only be too large, and the surplus found too small by chunks
     * that were surplus until a moment ago; the bound is checked against a sharp count, too. */
    size_t returned = s->returned;
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->r, &now);
    if (granted > returned + now.chunks)
        raise_to(&s->surplus, granted - returned - now.chunks);
    return p;
}

static void slow_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    storm *s = context;
    s->w.upstream.deallocate(&s->w, ptr, bytes, alignment);
    s->returned++;
}

static void storm_work(void *argument, size_t index, size_t round)
{
    storm *s = argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        unsigned char *p = tsmbr_allocate(&s->r, BYTES, 8);
        if (p == NULL || (uintptr_t)p % 8 != 0) {
            s->faults++;
            return;
        }
        memset(p, (int)(index + round), BYTES);
        s->blocks[index][i] = p;
    }
}

static void storm_at_rest(void *argument, size_t round)
{
    storm *s = argument;
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->r, &now);
    for (size_t t = 0; t < THREADS; t++)
        for (size_t i = 0; i < BLOCKS; i++)
            for (size_t k = 0; k < BYTES; k++)
                s->faults += s->blocks[t][i][k] != (unsigned char)(t + round);
    /* Nothing surplus is left, everything held is in use, and used: none was installed on top of
     * another that still had room. */
    s->faults += s->w.live != now.chunks;
    s->faults += s->w.held != now.reserved_bytes;
    s->faults += now.wasted_bytes > now.chunks * BYTES;
    s->faults += now.reserved_bytes > 3 * (size_t)THREADS * BLOCKS * BYTES;
    s->chunk_ends += now.chunks;
    tsmbr_release(&s->r);
    s->faults += s->w.live != 0;
}

static void storms_leave_no_surplus(void **state)
{
    (void)state;
    static storm s;
    watch_open(&s.w);
    s.slow = (tsmbr_upstream){slow_allocate, slow_deallocate, &s};
    tsmbr_init(&s.r, &(tsmbr_config){.upstream = &s.slow, .flags = TSMBR_SHARED_ONLY});
    run_rounds(THREADS, rounds_for(1000), storm_work, storm_at_rest, &s);
    tsmbr_statistics now;
    tsmbr_get_statistics(&s.r, &now);
    printf("%zu chunks became full, %zu were asked for, at most %zu surplus at once, %zu races lost\n",
           (size_t)s.chunk_ends, (size_t)s.granted, (size_t)s.surplus, now.lost_races);
    assert_int_equal(s.faults, 0);
    assert_true(s.chunk_ends >= 8 * rounds_for(1000));
    assert_true(s.surplus <= THREADS);
    assert_true(s.w.most_live <= THREADS + 12); /* 12 chunks hold a round */
    assert_true(now.lost_races > 0);            /* it was a storm */
    assert_true(s.granted < 10 * s.chunk_ends); /* most waited a little for the one that asked */
    tsmbr_destroy(&s.r);
    watch_close(&s.w);
}

/* ------------------------------------------------------------------- whose the losers' chunks are */

enum { ASKING = 8, MEETINGS = 6 /* between two releases */ };

/* Half of the threads ask the resource's own upstream, half one that they name: all of them are in there before
 * the first comes out, and that one's call has ended before the others do. So all but one lose. */
typedef struct meeting {
    watch own, named;
    tsmbr_upstream own_front, named_front;
    tsmbr_resource r;
    size_t winner;
    atomic_size_t inside; /* an upstream, threads in all rounds */
    atomic_size_t won;
    atomic_size_t faults;
    bool releasing;
} meeting;

static meeting table;
static _Thread_local size_t seat, present; /* the thread's number; the round */

static void *meet_and_allocate(watch *w, size_t bytes, size_t alignment)
{
    void *p = w->upstream.allocate(w, bytes, alignment);
    table.faults += table.inside++ >= (present + 1) * ASKING; /* one that asks again */
    while (table.inside < (present + 1) * ASKING)
        sched_yield();
    while (seat != table.winner && table.won <= present)
        sched_yield();
    return p;
}

static void *own_allocate(void *context, size_t bytes, size_t alignment)
{
    return meet_and_allocate(context, bytes, alignment);
}

static void *named_allocate(void *context, size_t bytes, size_t alignment)
{
    table.faults += seat % 2 == 0; /* who names none asks the resource's */
    return meet_and_allocate(context, bytes, alignment);
}

/* What was installed comes here at release, whosever it was. Nothing else that is not its own does: the watch
 * counts that. */
static void own_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    watch *w = table.releasing && watch_granted(&table.named, ptr, bytes) ? &table.named : context;
    w->upstream.deallocate(w, ptr, bytes, alignment);
}

static void meeting_work(void *argument, size_t index, size_t round)
{
    meeting *m = argument;
    seat = index;
    present = round;
    unsigned char *p =
        index % 2 == 0 ? tsmbr_allocate(&m->r, 1, 1) : tsmbr_allocate_from(&m->r, 1, 1, &m->named_front);
    m->faults += p == NULL || !tsmbr_owns(&m->r, p);
    m->won += index == m->winner;
}

static void meeting_at_rest(void *argument, size_t round)
{
    meeting *m = argument;
    const size_t rounds = round + 1, last = round / MEETINGS * MEETINGS;
    m->faults += m->own.grants != rounds * (ASKING / 2) || m->named.grants != rounds * (ASKING / 2);
    /* Out are the winners' chunks: of those with even numbers the resource's own upstream's. */
    size_t own = 0;
    for (size_t k = last; k < rounds; k++)
        own += k % ASKING % 2 == 0;
    m->faults += m->own.live != own || m->named.live != rounds - last - own;
    m->winner = rounds % ASKING;
    if (rounds % MEETINGS == 0) {
        m->releasing = true;
        tsmbr_release(&m->r);
        m->releasing = false;
        m->faults += m->own.live != 0 || m->named.live != 0;
        return;
    }
    /* The next round begins with a chunk that is full. */
    for (size_t bytes = 1 << 20; bytes != 0; bytes /= 2)
        while (tsmbr_try_allocate(&m->r, bytes, 1) != NULL)
            ;
}

static void losers_chunks_go_back_to_where_they_came_from(void **state)
{
    (void)state;
    meeting *m = &table;
    watch_open(&m->own);
    watch_open(&m->named);
    m->own_front = (tsmbr_upstream){own_allocate, own_deallocate, &m->own};
    m->named_front = (tsmbr_upstream){named_allocate, m->named.upstream.deallocate, &m->named};
    tsmbr_init(&m->r, &(tsmbr_config){.upstream = &m->own_front, .flags = TSMBR_SHARED_ONLY});
    run_rounds(ASKING, MEETINGS * ASKING, meeting_work, meeting_at_rest, m);
    assert_int_equal(m->faults, 0);
    tsmbr_destroy(&m->r);
    watch_close(&m->own);
    watch_close(&m->named);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storms_leave_no_surplus),
        cmocka_unit_test(losers_chunks_go_back_to_where_they_came_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
