/* ExtendWon / CarveWon / OpenWon, and their losses: many threads get runs for their lanes from one chunk at the
 * same time, and tables for them. Blocks do not overlap, nothing is lost that is not counted. */
#include "lane.h"

#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 12, SIZE = 1 << 17, MOST_LANES = 4, LARGEST = 60 };

typedef struct arena {
    tsmbr_resource r;
    unsigned char *buffer;
    blocks b[THREADS];
    atomic_size_t asked;
    atomic_size_t faults;
    size_t served;
    size_t rounds;
} arena;

static void refill_work(void *argument, size_t index, size_t round)
{
    arena *a = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    tsmbr_lane l[MOST_LANES];
    for (size_t i = 0; i < MOST_LANES; i++)
        tsmbr_lane_open(&l[i], &a->r);
    for (;;) {
        /* Some threads by explicit lanes, which they close now and then, but not so often that the bound below
         * would depend on which threads run. */
        size_t bytes = 1 + dice_below(&d, LARGEST), which = dice_below(&d, 2 * MOST_LANES);
        bool by_lane = index % 3 == 0 && which < MOST_LANES;
        void *p = by_lane ? tsmbr_lane_allocate(&l[which], bytes, 1) : tsmbr_allocate(&a->r, bytes, 1);
        if (p == NULL)
            break;
        a->asked += bytes;
        blocks_add(&a->b[index], p, bytes, dice_roll(&d));
        if (by_lane && dice_below(&d, 100) == 0) {
            tsmbr_lane_close(&l[which]);
            tsmbr_lane_open(&l[which], &a->r);
        }
    }
    for (size_t i = 0; i < MOST_LANES; i++)
        tsmbr_lane_close(&l[i]);
}

static void refill_at_rest(void *argument, size_t round)
{
    (void)round;
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
    a->served += a->asked;
    a->asked = 0;
    a->rounds++;
    /* What was carved is in blocks, counted as wasted, in a table, or in the lane of a thread that was refused,
     * who has less there than it was refused. */
    size_t held = THREADS * LARGEST;
    for (unsigned group = 1; group < SLOT_GROUPS; group++)
        held += lanes_load_acquire(resource_of(&a->r), group) != NULL ? lane_table_bytes(group) : 0;
    size_t carved = next_load_relaxed(head_load_acquire(resource_of(&a->r)));
    a->faults += s.allocated_bytes + s.wasted_bytes > carved;
    a->faults += s.allocated_bytes + s.wasted_bytes + held < carved;
    tsmbr_release(&a->r);
}

static void runs_do_not_overlap(void **state)
{
    (void)state;
    static arena a;
    a.buffer = malloc(SIZE);
    tsmbr_init(&a.r, &(tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = a.buffer, .buffer_size = SIZE});
    (void)run_seed();
    run_rounds(THREADS, rounds_for(150), refill_work, refill_at_rest, &a);
    assert_int_equal(a.faults, 0);
    assert_true(a.served / a.rounds > SIZE / 100 * 80);
    tsmbr_statistics s;
    tsmbr_get_statistics(&a.r, &s);
    assert_true(s.lost_races > 0);
    tsmbr_destroy(&a.r);
    for (int i = 0; i < THREADS; i++)
        blocks_free(&a.b[i]);
    free(a.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_do_not_overlap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
