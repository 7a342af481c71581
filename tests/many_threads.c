/* More threads than there are slots, at once and one after the other, over resources that outlive them all. */
#include "lane.h"

#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- a hundred thousand short lives */

enum { AT_ONCE = 50, RESOURCES = 4, BLOCKS = 5, BATCHES = 50 /* between two resets */ };

static struct {
    tsmbr_resource r[RESOURCES];
    tsmbr_resource kept; /* never reset; a byte for each thread */
    block got[AT_ONCE][BLOCKS * RESOURCES];
    atomic_size_t asked;
    atomic_size_t refused;
    atomic_size_t faults;
    atomic_uint highest; /* slot */
    atomic_uint with_lanes;
} lives;

static void live(void *argument, size_t index)
{
    (void)argument;
    size_t n = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < RESOURCES; k++) {
            block b = {NULL, 1 + (index + i * 7 + k) % 40, index * 1000 + n};
            b.ptr = tsmbr_allocate(&lives.r[k], b.bytes, 1);
            if (b.ptr == NULL) {
                lives.refused++;
                b.bytes = 0;
            } else {
                pattern_write(&b);
                lives.asked += b.bytes;
            }
            lives.got[index][n++] = b;
        }
    lives.refused += tsmbr_allocate(&lives.kept, 1, 1) == NULL;
    for (size_t i = 0; i < n; i++)
        lives.faults += !pattern_intact(&lives.got[index][i]);
    if (tsmbr_thread.group == 0)
        return;
    lives.with_lanes++;
    unsigned seen = lives.highest;
    while (tsmbr_thread.slot > seen && !atomic_compare_exchange_weak(&lives.highest, &seen, tsmbr_thread.slot))
        ;
}

/* One chunk of half a MiB holds a byte for each thread, the tables, and a run for each slot, the 1024th part at
 * first, more for the first four, then twice as much whenever one is used up: a slot is handed on with what is
 * left of its run. Five bytes that each of a hundred thousand threads left behind would not go in there. */
static void assert_nothing_left_behind(size_t threads)
{
    tsmbr_statistics s;
    tsmbr_get_statistics(&lives.kept, &s);
    assert_int_equal(s.allocated_bytes, threads);
    assert_int_equal(s.chunks, 1);
}

static void a_hundred_thousand_lives(void **state)
{
    (void)state;
    tsmbr_init(&lives.kept, &(tsmbr_config){.initial_size = 1 << 19});
    for (size_t k = 0; k < RESOURCES; k++)
        tsmbr_init(&lives.r[k], &(tsmbr_config){.initial_size = 1 << 16});
    size_t batches = rounds_for(100000 / AT_ONCE), asked_before = 0, most_asked = 0, most_held = 0;
    for (size_t batch = 1; batch <= batches; batch++) {
        run_threads(AT_ONCE, live, NULL);
        /* All those of a batch live at once; their blocks are apart. */
        for (size_t i = 0; i < AT_ONCE; i++)
            for (size_t n = 0; n < BLOCKS * RESOURCES; n++)
                lives.faults += !pattern_intact(&lives.got[i][n]);
        if (batch % BATCHES != 0 && batch != batches)
            continue;
        size_t reserved = 0, allocated = 0, asked = lives.asked - asked_before;
        for (size_t k = 0; k < RESOURCES; k++) {
            tsmbr_statistics s;
            tsmbr_get_statistics(&lives.r[k], &s);
            allocated += s.allocated_bytes;
            reserved += s.reserved_bytes;
            tsmbr_reset(&lives.r[k], SIZE_MAX);
        }
        assert_int_equal(allocated, asked);
        asked_before = lives.asked;
        most_asked = asked > most_asked ? asked : most_asked;
        most_held = reserved > most_held ? reserved : most_held;
    }
    assert_int_equal(lives.faults, 0);
    assert_int_equal(lives.refused, 0);
    /* Slots went from thread to thread: those of one batch, and main's. */
    assert_true(lives.highest <= AT_ONCE);
    assert_true(lives.with_lanes > 0);
    assert_nothing_left_behind(batches * AT_ONCE);
    tsmbr_destroy(&lives.kept);
    for (size_t k = 0; k < RESOURCES; k++)
        tsmbr_destroy(&lives.r[k]);
    printf("%zu threads: between resets %zu bytes in blocks at most, %zu held\n", batches * AT_ONCE, most_asked,
           most_held);
    /* By what is in blocks between two resets, however many threads there have been. */
    assert_true(most_held <= 3 * most_asked + ((size_t)RESOURCES << 18));
}

/* --------------------------------------------------------------------- six hundred at the same time */

/* Their stacks must fit. */
enum { CROWD = sizeof(size_t) > 4 ? 600 : 300, CROWD_BLOCKS = 30 };

static struct {
    tsmbr_resource r;
    block got[CROWD][CROWD_BLOCKS];
    pthread_barrier_t all_here;
    atomic_uint holders[SLOTS];
    atomic_size_t without;
    atomic_size_t refused;
} crowd;

static void crowd_member(void *argument, size_t index)
{
    (void)argument;
    for (size_t i = 0; i < CROWD_BLOCKS; i++) {
        block b = {NULL, 8 + (index + i) % 100, index * CROWD_BLOCKS + i};
        b.ptr = tsmbr_allocate(&crowd.r, b.bytes, 1);
        if (b.ptr == NULL) {
            crowd.refused++;
            b.bytes = 0;
        } else {
            pattern_write(&b);
        }
        crowd.got[index][i] = b;
    }
    /* Now and then others are faster all the time. */
    for (int i = 0; tsmbr_thread.group == 0 && i < 50; i++)
        crowd.refused += tsmbr_allocate(&crowd.r, 1, 1) == NULL;
    if (tsmbr_thread.group != 0)
        crowd.holders[tsmbr_thread.slot]++;
    else
        crowd.without++;
    pthread_barrier_wait(&crowd.all_here);
}

static void six_hundred_at_once(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    const size_t limits[] = {0, (size_t)24 << 20, 0};
    for (int life = 0; life < 3; life++) {
        tsmbr_init(&crowd.r, &(tsmbr_config){.upstream = &w.upstream, .limit = limits[life]});
        memset(crowd.holders, 0, sizeof crowd.holders);
        crowd.without = 0;
        pthread_barrier_init(&crowd.all_here, NULL, CROWD);
        run_threads(CROWD, crowd_member, NULL);
        pthread_barrier_destroy(&crowd.all_here);
        assert_int_equal(crowd.refused, 0);
        size_t held = 0;
        for (unsigned i = 0; i < SLOTS; i++) {
            assert_true(crowd.holders[i] <= 1);
            held += crowd.holders[i];
        }
        assert_int_equal(held + crowd.without, CROWD);
        /* All of them, but the main thread's if it has one, and as many go without as there are more. */
        assert_in_range(held, SLOTS - 1, SLOTS);
        blocks all = {0};
        for (size_t i = 0; i < CROWD; i++)
            for (size_t k = 0; k < CROWD_BLOCKS; k++) {
                const block *b = &crowd.got[i][k];
                assert_true(pattern_intact(b));
                blocks_add(&all, b->ptr, b->bytes, b->pattern);
            }
        assert_int_equal(blocks_check(&all), 0);
        blocks_free(&all);
        tsmbr_statistics s;
        tsmbr_get_statistics(&crowd.r, &s);
        assert_int_equal(s.reserved_bytes, w.held);
        tsmbr_destroy(&crowd.r);
        assert_int_equal(w.live, 0);
    }
    watch_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_lives),
        cmocka_unit_test(six_hundred_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
