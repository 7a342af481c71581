/* ExtendWon / GrowWon / CarveWon / InstallWon: threads refill their lanes and resize in them while others take
 * large blocks from the same chunk, fill it, and install the next. */
#include "support.h"

#include <stdatomic.h>

enum { THREADS = 8 };

typedef struct arena {
    tsmbr_resource r;
    watch w;
    blocks b[THREADS];
    atomic_size_t asked;
    atomic_size_t grown;
    atomic_size_t faults;
} arena;

static void small_or_large(void *argument, size_t index, size_t round)
{
    arena *a = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    size_t asked = 0;
    for (int i = 0; i < (index < THREADS / 2 ? 600 : 30); i++) {
        size_t bytes = index < THREADS / 2 ? 1 + dice_below(&d, 60) : 500 + dice_size(&d, 30000);
        unsigned char *p = tsmbr_allocate(&a->r, bytes, 1);
        if (p == NULL) {
            a->faults++;
            continue;
        }
        if (dice_below(&d, 2) == 0) {
            size_t now = 1 + dice_below(&d, index < THREADS / 2 ? 400 : bytes);
            bool resized = tsmbr_try_resize(&a->r, p, bytes, now);
            a->faults += !resized && now <= bytes;
            a->grown += resized && now > bytes;
            bytes = resized ? now : bytes;
        }
        asked += bytes;
        blocks_add(&a->b[index], p, bytes, dice_roll(&d));
    }
    a->asked += asked;
}

static void large_at_rest(void *argument, size_t round)
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
    a->faults += s.allocated_bytes < a->asked || s.reserved_bytes != a->w.held;
    a->faults += s.allocated_bytes + s.wasted_bytes > s.reserved_bytes;
    a->asked = 0;
    tsmbr_reset(&a->r, round % 3 == 0 ? 0 : SIZE_MAX);
}

static void lanes_and_large_blocks_stay_apart(void **state)
{
    (void)state;
    static arena a;
    watch_open(&a.w);
    tsmbr_init(&a.r, &(tsmbr_config){.upstream = &a.w.upstream, .initial_size = 20000});
    (void)run_seed();
    run_rounds(THREADS, rounds_for(150), small_or_large, large_at_rest, &a);
    assert_int_equal(a.faults, 0);
    assert_true(a.grown > 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&a.r, &s);
    assert_true(s.lost_races > 0);
    tsmbr_destroy(&a.r);
    watch_close(&a.w);
    for (int i = 0; i < THREADS; i++)
        blocks_free(&a.b[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lanes_and_large_blocks_stay_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
