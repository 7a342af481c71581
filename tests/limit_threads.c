/* The limit under 64 threads: never a byte above it, and nothing is refused that would fit. What a chunk adds to
 * a block of `bytes` at `alignment` is alignment - 1 + 127 bytes; so much of the limit may be left at a refusal,
 * and what others are asking for at that moment. */
#include "lane.h"
#include "resource.h"

#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { THREADS = 64, RECORD = 127 };

static void ignore(void *argument)
{
    (void)argument;
}

typedef struct crowd {
    watch w;
    tsmbr_upstream slow;
    tsmbr_resource r;
    size_t limit;
    size_t largest;
    size_t above_limit;
    size_t unsettled;
    size_t refused_though_fit;
    size_t used_up; /* quiet rounds in which what was left was served, and not a byte more */
    atomic_size_t refusals;
    atomic_size_t odd_errno;
    atomic_size_t damaged;
} crowd;

static void *slow_allocate(void *context, size_t bytes, size_t alignment)
{
    crowd *c = context;
    sched_yield();
    void *p = c->w.upstream.allocate(&c->w, bytes, alignment);
    sched_yield();
    return p;
}

static void slow_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    crowd *c = context;
    c->w.upstream.deallocate(&c->w, ptr, bytes, alignment);
}

static bool crowd_note(crowd *c, block *log, size_t *count, void *ptr, size_t bytes, uint64_t pattern)
{
    if (ptr == NULL) {
        c->odd_errno += errno != ENOMEM;
        c->refusals++;
        return false;
    }
    log[*count] = (block){ptr, bytes, pattern};
    pattern_write(&log[(*count)++]);
    return true;
}

/* These rounds begin with nothing held. */
static bool quiet(size_t round)
{
    return round % 3 == 0;
}

static void crowd_work(void *argument, size_t index, size_t round)
{
    crowd *c = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    enum { MOST = 400 };
    block log[MOST];
    size_t count = 0;
    tsmbr_lane run;
    tsmbr_lane_open(&run, &c->r);
    /* Now and then so little that half of the limit is left, chunks' growth included; of a small one, nothing. */
    size_t left = quiet(round) ? c->limit / 8 / THREADS : SIZE_MAX;
    for (int refusals = 0; refusals < 3 && count < MOST;) {
        size_t bytes = 1 + dice_size(&d, left < c->largest ? left : c->largest);
        size_t alignment = dice_alignment(&d, 256);
        if (bytes + alignment + RECORD > left)
            break;
        left -= bytes + alignment + RECORD;
        errno = 0;
        void *p = dice_below(&d, 5) == 0 ? tsmbr_lane_allocate(&run, bytes, alignment)
                                         : tsmbr_allocate(&c->r, bytes, alignment);
        refusals += !crowd_note(c, log, &count, p, bytes, dice_roll(&d));
        if (dice_below(&d, 20) == 0 && tsmbr_on_release(&c->r, ignore, NULL) != 0)
            refusals++;
    }
    for (size_t i = 0; i < count; i++)
        c->damaged += !pattern_intact(&log[i]);
    tsmbr_lane_close(&run);
}

static void crowd_at_rest(void *argument, size_t round)
{
    crowd *c = argument;
    const resource *r = resource_of(&c->r);
    tsmbr_statistics s;
    tsmbr_get_statistics(&c->r, &s);
    c->above_limit += c->w.peak > c->limit || s.peak_reserved_bytes > c->limit;
    c->unsettled += s.reserved_bytes != c->w.held || reserved_load_relaxed(r) != c->w.held ||
                    published_load_relaxed(r) != c->w.held;
    /* The largest block for which a chunk may be asked for still: it is served, to the last byte. */
    dice d = dice_make(run_seed(), SIZE_MAX - round);
    size_t alignment = dice_alignment(&d, c->limit / 16), added = alignment - 1 + RECORD;
    size_t fail_every = c->w.fail_every, left = c->limit - c->w.held;
    c->w.fail_every = 0;
    /* One byte more fits only where a chunk has room. */
    if (left > added && tsmbr_allocate(&c->r, left - added + 1, alignment) == NULL) {
        bool served = tsmbr_allocate(&c->r, left - added, alignment) != NULL;
        c->used_up += served && quiet(round);
        c->refused_though_fit += !served;
    }
    c->w.fail_every = fail_every;
    c->above_limit += c->w.held > c->limit;
    tsmbr_reset(&c->r, quiet(round + 1) ? 0 : quiet(round) ? c->limit / 3 : SIZE_MAX);
}

static void never_above_and_used_to_the_end(void **state)
{
    (void)state;
    const size_t limits[] = {3000, 70000, 1000000, 8000000};
    const size_t rounds = 1 + rounds_for(20);
    size_t refusals = 0, used_up = 0;
    (void)run_seed();
    for (size_t i = 0; i < 8; i++) {
        static crowd c;
        memset(&c, 0, sizeof c);
        watch_open(&c.w);
        c.slow = (tsmbr_upstream){slow_allocate, slow_deallocate, &c};
        c.limit = limits[i / 2];
        c.largest = c.limit / 20;
        c.w.fail_every = i % 2 == 0 ? 0 : 7; /* what is refused comes back under the limit */
        tsmbr_init(&c.r, &(tsmbr_config){.upstream = &c.slow, .limit = c.limit});
        run_rounds(THREADS, rounds, crowd_work, crowd_at_rest, &c);
        assert_int_equal(c.above_limit, 0);
        assert_int_equal(c.unsettled, 0);
        assert_int_equal(c.refused_though_fit, 0);
        assert_int_equal(c.used_up, (rounds + 2) / 3); /* in each round that is quiet */
        used_up += c.used_up;
        assert_int_equal(c.damaged, 0);
        assert_int_equal(c.odd_errno, 0);
        refusals += c.refusals;
        tsmbr_destroy(&c.r);
        watch_close(&c.w);
    }
    assert_true(refusals > 0);
    printf("the limit was used up %zu times after %zu refusals\n", used_up, refusals);
}

/* ------------------------------------------------------------------- blocks that fit to the byte */

enum { BLOCK = 5 << 20, ALIGNMENT = 4096, NEED = BLOCK + ALIGNMENT - 1 + RECORD };

typedef struct seats {
    watch w;
    tsmbr_upstream slow;
    tsmbr_resource r;
    void *got[THREADS];
} seats;

/* Longer than who finds no room looks for it: all ask while the others are in here. */
static void *seat_allocate(void *context, size_t bytes, size_t alignment)
{
    seats *s = context;
    const struct timespec pause = {0, 50000000};
    (void)nanosleep(&pause, NULL);
    return s->w.upstream.allocate(&s->w, bytes, alignment);
}

static void seat_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    seats *s = context;
    s->w.upstream.deallocate(&s->w, ptr, bytes, alignment);
}

static void take_a_seat(void *argument, size_t index)
{
    seats *s = argument;
    s->got[index] = tsmbr_allocate(&s->r, BLOCK, ALIGNMENT);
}

/* Blocks too large for a chunk that others share: each takes what it needs and no more. Without the limit's last
 * byte one of them is refused. None is refused that has its place later, on bytes that were in flight: what these
 * threads ask for the upstream grants, no chunk of theirs is one too many, so no byte comes back. Where bytes do,
 * race_reserve_reserve counts the refusals that were too early. */
static size_t seats_taken(size_t limit)
{
    static seats s;
    watch_open(&s.w);
    s.slow = (tsmbr_upstream){seat_allocate, seat_deallocate, &s};
    tsmbr_init(&s.r, &(tsmbr_config){.upstream = &s.slow, .limit = limit});
    run_threads(THREADS, take_a_seat, &s);
    size_t taken = 0;
    for (size_t i = 0; i < THREADS; i++) {
        if (s.got[i] == NULL) {
            take_a_seat(&s, i);
            assert_null(s.got[i]);
        }
        taken += s.got[i] != NULL;
        assert_int_equal((uintptr_t)s.got[i] % ALIGNMENT, 0);
        for (size_t k = 0; k < i; k++)
            assert_true(s.got[i] == NULL || s.got[i] != s.got[k]);
    }
    assert_int_equal(s.w.held, taken * NEED);
    assert_true(s.w.peak <= limit);
    assert_null(tsmbr_allocate(&s.r, BLOCK, ALIGNMENT));
    tsmbr_destroy(&s.r);
    watch_close(&s.w);
    return taken;
}

static void sixty_four_blocks_fill_the_limit(void **state)
{
    (void)state;
    for (size_t round = 0; round < rounds_for(10); round++) {
        assert_int_equal(seats_taken((size_t)THREADS * NEED), THREADS);
        assert_int_equal(seats_taken((size_t)THREADS * NEED - 1), THREADS - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_above_and_used_to_the_end),
        cmocka_unit_test(sixty_four_blocks_fill_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
