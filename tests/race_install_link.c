/* InstallWon / LinkWon, and InstallLost, LoadLarge, LinkLost: small blocks that need a new current chunk race with
 * large ones that get a chunk of their own, and large ones with each other. */
#include "support.h"

#include <stdatomic.h>
#include <stdio.h>

enum { THREADS = 16 };

typedef struct mix {
    watch w;
    tsmbr_resource r;
    blocks b[THREADS];
    atomic_size_t faults;
    atomic_size_t links;
} mix;

static void mix_work(void *argument, size_t index, size_t round)
{
    mix *m = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    for (int i = 0; i < 60; i++) {
        size_t bytes = i % 4 == 0 ? 3000 + dice_below(&d, 5000) : dice_size(&d, 100);
        size_t alignment = dice_alignment(&d, 256);
        void *p = tsmbr_allocate(&m->r, bytes, alignment);
        if (p == NULL || (uintptr_t)p % alignment != 0 || !tsmbr_owns(&m->r, p)) {
            m->faults++;
            return;
        }
        blocks_add(&m->b[index], p, bytes, dice_roll(&d));
    }
}

static void mix_at_rest(void *argument, size_t round)
{
    mix *m = argument;
    blocks all = {0};
    for (int i = 0; i < THREADS; i++) {
        blocks_append(&all, &m->b[i]);
        m->b[i].count = 0;
    }
    m->faults += blocks_check(&all);
    blocks_free(&all);
    tsmbr_statistics s;
    tsmbr_get_statistics(&m->r, &s);
    m->faults += s.chunks != m->w.live;
    m->faults += s.reserved_bytes != m->w.held;
    m->links += s.chunks;
    if (round % 2 == 0) {
        tsmbr_release(&m->r);
        m->faults += m->w.live != 0;
    } else {
        tsmbr_reset(&m->r, 50000);
        m->faults += m->w.held > 50000;
    }
}

static void small_and_large_together(void **state)
{
    (void)state;
    static mix m;
    watch_open(&m.w);
    tsmbr_init(&m.r, &(tsmbr_config){.upstream = &m.w.upstream});
    (void)run_seed();
    run_rounds(THREADS, rounds_for(300), mix_work, mix_at_rest, &m);
    assert_int_equal(m.faults, 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&m.r, &s);
    printf("%zu chunks, %zu lost races\n", (size_t)m.links, s.lost_races);
    assert_true(s.lost_races > 0); /* they did race */
    tsmbr_destroy(&m.r);
    watch_close(&m.w);
    for (int i = 0; i < THREADS; i++)
        blocks_free(&m.b[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(small_and_large_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
