/* CarveWon / ShrinkWon / GrowWon, and GrowLost, ShrinkLost: blocks that grow and shrink at the end of a chunk
 * while others carve there. The bytes one thread gives up another one gets: under a thread sanitizer this fails
 * unless giving up and getting are ordered. */
#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, SIZE = 1 << 16 };

typedef struct arena {
    unsigned char *buffer;
    tsmbr_resource r;
    blocks b[THREADS];
    atomic_size_t grown;
    atomic_size_t shrunk;
    atomic_size_t faults;
} arena;

static void resize_work(void *argument, size_t index, size_t round)
{
    arena *a = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    for (;;) {
        size_t bytes = 1 + dice_below(&d, 64);
        unsigned char *p = tsmbr_allocate(&a->r, bytes, 1);
        if (p == NULL)
            return;
        memset(p, 0xCC, bytes); /* used to the end, then given up */
        tsmbr_statistics before, after;
        tsmbr_get_statistics(&a->r, &before);
        size_t less = 1 + dice_below(&d, bytes);
        if (!tsmbr_try_resize(&a->r, p, bytes, less))
            a->faults++;
        tsmbr_get_statistics(&a->r, &after);
        a->shrunk += after.allocated_bytes < before.allocated_bytes;
        size_t more = less + dice_below(&d, 32);
        if (tsmbr_try_resize(&a->r, p, less, more)) {
            a->grown += more > less;
            less = more;
        }
        blocks_add(&a->b[index], p, less, dice_roll(&d));
    }
}

static void resize_at_rest(void *argument, size_t round)
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
    tsmbr_release(&a->r);
}

static void given_up_bytes_change_hands(void **state)
{
    (void)state;
    static arena a;
    a.buffer = malloc(SIZE);
    tsmbr_init(&a.r, &(tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = a.buffer, .buffer_size = SIZE});
    (void)run_seed();
    run_rounds(THREADS, rounds_for(300), resize_work, resize_at_rest, &a);
    assert_int_equal(a.faults, 0);
    assert_true(a.grown > 1000 && a.shrunk > 1000);
    tsmbr_destroy(&a.r);
    for (int i = 0; i < THREADS; i++)
        blocks_free(&a.b[i]);
    free(a.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(given_up_bytes_change_hands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
