/* Thousands of resources alive at once, and threads that go from one to the next with every call. */
#include "lane.h"

#include "support.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESOURCES = 3000, TURNS = 12, THREADS = 4 };

typedef struct park {
    tsmbr_resource r[RESOURCES];
    bool with_lanes[RESOURCES];
    block got[THREADS][TURNS * RESOURCES];
    atomic_size_t asked[RESOURCES];
    atomic_size_t faults;
    unsigned slots[THREADS];
} park;

static park *p;

static void park_open(size_t i)
{
    p->with_lanes[i] = i % 3 == 0;
    tsmbr_init(&p->r[i], &(tsmbr_config){.initial_size = p->with_lanes[i] ? 20000 : 0,
                                         .flags = i % 30 == 0 ? TSMBR_SHARED_ONLY : 0});
    p->asked[i] = 0;
}

/* Each thread its own way through the resources. */
static size_t place_of(size_t index, size_t turn, size_t step)
{
    const size_t strides[THREADS] = {1, 7, 1009, 2003}; /* none has a factor in common with RESOURCES */
    return (turn * 31 + step * strides[index]) % RESOURCES;
}

static void wander(void *argument, size_t index)
{
    (void)argument;
    for (size_t turn = 0; turn < TURNS; turn++)
        for (size_t step = 0; step < RESOURCES; step++) {
            size_t n = turn * RESOURCES + step, i = place_of(index, turn, step);
            block b = {NULL, 1 + (n + index) % 60, n * THREADS + index};
            b.ptr = tsmbr_allocate(&p->r[i], b.bytes, 1);
            if (b.ptr == NULL) {
                p->faults++;
                b.bytes = 0;
            } else {
                p->asked[i] += b.bytes;
                pattern_write(&b);
            }
            p->got[index][n] = b;
        }
    p->slots[index] = tsmbr_thread.group != 0 ? tsmbr_thread.slot : SLOTS;
}

static void assert_each_has_its_own(size_t threads)
{
    size_t allocated = 0, reserved = 0, asked = 0;
    for (size_t index = 0; index < threads; index++)
        for (size_t turn = 0; turn < TURNS; turn++)
            for (size_t step = 0; step < RESOURCES; step++) {
                const block *b = &p->got[index][turn * RESOURCES + step];
                size_t i = place_of(index, turn, step);
                if (!pattern_intact(b) || !tsmbr_owns(&p->r[i], b->ptr) ||
                    tsmbr_owns(&p->r[(i + 1) % RESOURCES], b->ptr))
                    p->faults++;
            }
    for (size_t i = 0; i < RESOURCES; i++) {
        tsmbr_statistics s;
        tsmbr_get_statistics(&p->r[i], &s);
        if (s.allocated_bytes != p->asked[i])
            p->faults++;
        allocated += s.allocated_bytes;
        asked += p->asked[i];
        reserved += s.reserved_bytes;
    }
    assert_int_equal(p->faults, 0);
    assert_int_equal(allocated, asked);
    /* The first chunks, and what came after: in no way more than resources of one thread each would hold. */
    assert_true(reserved <= 4 * asked + (size_t)RESOURCES * 2048 + (size_t)(RESOURCES / 3) * 22000);
    printf("%d resources, %zu threads: %zu bytes in blocks, %zu held\n", RESOURCES, threads, allocated, reserved);
}

/* Storage that was one resource becomes another: no lane of the old one is met again. */
static void park_change(size_t every)
{
    for (size_t i = 0; i < RESOURCES; i++) {
        if (i % every == 0) {
            tsmbr_destroy(&p->r[i]);
            park_open(i);
        } else {
            tsmbr_reset(&p->r[i], i % 2 == 0 ? SIZE_MAX : 0);
            p->asked[i] = 0;
        }
    }
}

static void threads_alternate_among_thousands(void **state)
{
    (void)state;
    p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < RESOURCES; i++)
        park_open(i);
    wander(NULL, 0);
    assert_each_has_its_own(1);
    assert_int_equal(p->slots[0], 0); /* one slot, however many resources */
    for (size_t life = 0; life < rounds_for(3); life++) {
        park_change(2 + life);
        run_threads(THREADS, wander, NULL);
        assert_each_has_its_own(THREADS);
        for (size_t k = 0; k < THREADS; k++)
            assert_in_range(p->slots[k], 1, THREADS); /* 0 is main's */
    }
    for (size_t i = 0; i < RESOURCES; i++)
        tsmbr_destroy(&p->r[i]);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_alternate_among_thousands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
