/* AdvanceWon / AdvanceLost, and CarveWon / CarveLost in kept large chunks: threads go through the chunks that
 * reset kept, together. */
#include "support.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 8, LARGEST = 2000 };

typedef struct frames {
    watch w;
    tsmbr_resource r;
    blocks b[THREADS];
    atomic_size_t faults;
    bool shared_only;
    size_t passed_over;
    size_t grants[1000];
} frames;

static void frame_work(void *argument, size_t index, size_t round)
{
    frames *f = argument;
    dice d = dice_make(7, index);
    for (int i = 0; i < 200; i++) {
        size_t bytes = i % 40 == 13 ? LARGEST : 1 + dice_below(&d, 100);
        void *p = tsmbr_allocate(&f->r, bytes, 8);
        if (p == NULL) {
            f->faults++;
            return;
        }
        blocks_add(&f->b[index], p, bytes, round);
    }
}

static void frame_at_rest(void *argument, size_t round)
{
    frames *f = argument;
    blocks all = {0};
    for (int i = 0; i < THREADS; i++) {
        blocks_append(&all, &f->b[i]);
        f->b[i].count = 0;
    }
    f->faults += blocks_check(&all);
    blocks_free(&all);
    tsmbr_statistics s;
    tsmbr_get_statistics(&f->r, &s);
    f->faults += s.chunks != f->w.live || s.reserved_bytes != f->w.held;
    /* A chunk is left when it has no room for a block, and then for the next one only. */
    f->passed_over += f->shared_only && s.wasted_bytes > s.chunks * (LARGEST + 8);
    tsmbr_reset(&f->r, SIZE_MAX);
    tsmbr_get_statistics(&f->r, &s);
    f->faults += s.chunks != f->w.live || s.reserved_bytes != f->w.held || s.allocated_bytes != 0;
    f->grants[round] = f->w.grants;
}

static void go_through_frames(bool shared_only)
{
    static frames f;
    memset(&f, 0, sizeof f);
    f.shared_only = shared_only;
    watch_open(&f.w);
    tsmbr_init(&f.r, &(tsmbr_config){.upstream = &f.w.upstream, .flags = shared_only ? TSMBR_SHARED_ONLY : 0});
    size_t rounds = rounds_for(500);
    run_rounds(THREADS, rounds, frame_work, frame_at_rest, &f);
    assert_int_equal(f.faults, 0);
    assert_int_equal(f.passed_over, 0);
    printf("chunks asked for: %zu in the first round, %zu in all\n", f.grants[0], f.grants[rounds - 1]);
    /* The threads interleave anew each round, so that now and then a chunk more is needed; far from
     * as many as if the kept ones were not used, which is some ten a round. */
    assert_true(f.grants[rounds - 1] < f.grants[0] + rounds / 5);
    tsmbr_destroy(&f.r);
    watch_close(&f.w);
    for (int i = 0; i < THREADS; i++)
        blocks_free(&f.b[i]);
}

static void kept_chunks_are_shared(void **state)
{
    (void)state;
    go_through_frames(false);
}

static void kept_chunks_are_not_passed_over(void **state)
{
    (void)state;
    go_through_frames(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_chunks_are_shared),
        cmocka_unit_test(kept_chunks_are_not_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
