/* Rounds of work by many threads with a reset or release at rest between them: lanes do not outlive it, whoever
 * held them. One thread also goes through a thousand resources in turn. */
#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 8, MANY = 1000 };

typedef struct arena {
    tsmbr_resource r;
    blocks b[THREADS];
    atomic_size_t asked;
    atomic_size_t faults;
} arena;

static void round_work(void *argument, size_t index, size_t round)
{
    arena *a = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    size_t asked = 0;
    for (size_t i = dice_below(&d, 300); i > 0; i--) {
        size_t bytes = 1 + dice_size(&d, 200);
        void *p = tsmbr_allocate(&a->r, bytes, 1);
        if (p == NULL) {
            a->faults++;
            continue;
        }
        asked += bytes;
        blocks_add(&a->b[index], p, bytes, dice_roll(&d));
    }
    a->asked += asked;
}

static void round_at_rest(void *argument, size_t round)
{
    arena *a = argument;
    blocks all = {0};
    for (int i = 0; i < THREADS; i++) {
        blocks_append(&all, &a->b[i]);
        a->b[i].count = 0;
    }
    a->faults += blocks_check(&all);
    blocks_free(&all);
    tsmbr_statistics s;
    tsmbr_get_statistics(&a->r, &s);
    a->faults += s.allocated_bytes != a->asked;
    a->asked = 0;
    tsmbr_reset(&a->r, round % 7 == 6 ? 0 : round % 5 == 4 ? 200000 : SIZE_MAX);
    tsmbr_get_statistics(&a->r, &s);
    a->faults += s.allocated_bytes != 0 || s.wasted_bytes != 0;
}

static void lanes_end_with_a_reset(void **state)
{
    (void)state;
    static arena a;
    tsmbr_init(&a.r, &(tsmbr_config){.initial_size = 100000});
    (void)run_seed();
    run_rounds(THREADS, rounds_for(600), round_work, round_at_rest, &a);
    assert_int_equal(a.faults, 0);
    tsmbr_destroy(&a.r);
    for (int i = 0; i < THREADS; i++)
        blocks_free(&a.b[i]);
}

static void one_thread_in_a_thousand_resources(void **state)
{
    (void)state;
    tsmbr_resource *r = calloc(MANY, sizeof *r);
    blocks all = {0};
    assert_non_null(r);
    for (size_t i = 0; i < MANY; i++)
        tsmbr_init(&r[i], &(tsmbr_config){.initial_size = 20000});
    dice d = dice_make(run_seed(), 1);
    for (int round = 0; round < 3; round++) {
        size_t asked = 0;
        for (size_t i = 0; i < MANY * 30; i++) {
            size_t bytes = 1 + dice_below(&d, 50);
            void *p = tsmbr_allocate(&r[i * 7 % MANY], bytes, 1);
            assert_non_null(p);
            asked += bytes;
            blocks_add(&all, p, bytes, dice_roll(&d));
        }
        assert_int_equal(blocks_check(&all), 0);
        all.count = 0;
        for (size_t i = 0; i < MANY; i++) {
            tsmbr_statistics s;
            tsmbr_get_statistics(&r[i], &s);
            asked -= s.allocated_bytes;
            tsmbr_reset(&r[i], SIZE_MAX);
        }
        assert_int_equal(asked, 0);
    }
    for (size_t i = 0; i < MANY; i++)
        tsmbr_destroy(&r[i]);
    blocks_free(&all);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_end_with_a_reset),
        cmocka_unit_test(one_thread_in_a_thousand_resources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
