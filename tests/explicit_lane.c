/* Lanes in the caller's hands: open, allocate, close; alone, beside each other, beside shared calls, and passed
 * from thread to thread. */
#include "tools.h"

#include "lane.h"
#include "resource.h"
#include "support.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixed {
    tsmbr_resource r;
    unsigned char *buffer;
    size_t size;
} fixed;

static void fixed_open(fixed *f, size_t size)
{
    f->size = size;
    f->buffer = pages_allocate(size);
    assert_non_null(f->buffer);
    tsmbr_init(&f->r,
               &(tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = f->buffer, .buffer_size = size});
}

static void fixed_close(fixed *f)
{
    tsmbr_destroy(&f->r);
    pages_free(f->buffer);
}

static tsmbr_statistics statistics_of(const tsmbr_resource *r)
{
    tsmbr_statistics s;
    tsmbr_get_statistics(r, &s);
    return s;
}

/* What the lane has for more blocks; in a build for tools the program does not see it. */
static size_t lane_left(const tsmbr_lane *l)
{
#ifdef TSMBR_TOOLS
    return l->tools[0];
#else
    return (size_t)(l->end - l->cursor);
#endif
}

/* A lane with a run, on a chunk with a block before it: the first one of a chunk is just that. */
static void lane_start(tsmbr_lane *l, tsmbr_resource *r)
{
    tsmbr_lane_open(l, r);
    while (lane_left(l) == 0)
        assert_non_null(tsmbr_lane_allocate(l, 1, 1));
}

static void blocks_follow_each_other(void **state)
{
    (void)state;
    fixed f;
    tsmbr_lane l;
    fixed_open(&f, 1 << 20);
    tsmbr_lane_open(&l, &f.r);
    assert_int_equal(statistics_of(&f.r).allocated_bytes, 0);
    unsigned char *next = f.buffer;
    size_t served = 0;
    for (;;) {
        size_t bytes = 1 + served % 77;
        unsigned char *p = tsmbr_lane_allocate(&l, bytes, 1);
        if (p == NULL)
            break;
        assert_ptr_equal(p, next); /* one lane alone: no gap */
        next += bytes;
        served += bytes;
    }
    assert_int_equal(errno, ENOMEM);
    assert_true(f.size - served < 77);
    assert_non_null(tsmbr_lane_allocate(&l, f.size - served, 1));
    assert_null(tsmbr_lane_allocate(&l, 0, 1));
    tsmbr_lane_close(&l);
    assert_int_equal(statistics_of(&f.r).wasted_bytes, 0);
    assert_int_equal(statistics_of(&f.r).allocated_bytes, f.size);
    fixed_close(&f);
}

/* What a new lane holds ready, at its most: it counts as allocated. */
static size_t largest_run(tsmbr_resource *r, size_t each, size_t enough)
{
    tsmbr_lane l;
    size_t others = statistics_of(r).allocated_bytes, ready = 0;
    tsmbr_lane_open(&l, r);
    for (size_t served = each; served <= enough; served += each) {
        assert_non_null(tsmbr_lane_allocate(&l, each, 1));
        size_t now = statistics_of(r).allocated_bytes - others - served;
        ready = now > ready ? now : ready;
    }
    return ready;
}

static void fewer_lanes_take_larger_parts(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        size_t parts[7]; /* of each new lane, in 64ths of the chunk */
    } cases[] = {
        {1 << 20, {1, 1, 1, 1, 1, 1, 1}},
        {16 << 20, {8, 8, 2, 2, 1, 1, 1}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fixed f;
        fixed_open(&f, cases[k].size);
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < sizeof cases[k].parts / sizeof *cases[k].parts; i++) {
                size_t most = f.size / 64 * cases[k].parts[i];
                assert_in_range(largest_run(&f.r, 64, most + most / 2), most - 64, most);
            }
            assert_int_equal(lanes_used_load_relaxed(resource_of(&f.r)), 5); /* more than few: that is enough */
            tsmbr_reset(&f.r, SIZE_MAX);
        }
        fixed_close(&f);
    }
}

static void lanes_of_both_kinds_count_alike(void **state)
{
    (void)state;
    fixed f;
    fixed_open(&f, 16 << 20);
    for (int i = 0; i < 2; i++)
        assert_non_null(tsmbr_allocate(&f.r, 1, 1)); /* of a lane of this thread, from the second on */
    assert_in_range(largest_run(&f.r, 64, 3 << 20), (2 << 20) - 64, 2 << 20);
    assert_in_range(largest_run(&f.r, 64, 1 << 20), (512 << 10) - 64, 512 << 10);
    fixed_close(&f);
}

/* Of the upstream's chunks of any size, if the part is 256 bytes at least: of the first run that of the lanes
 * before, as this one is not counted yet. */
static void runs_in_small_chunks(void **state)
{
    (void)state;
    static const size_t sizes[] = {1000, 2000, 2048, 2100, 4096, 8100, 8200, 16000, 16400};
    static const size_t parts[] = {8, 8, 8, 2, 2, 1}; /* by lanes, in 64ths */
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.initial_size = sizes[k]});
        assert_non_null(tsmbr_allocate(&r, 1, 1));
        size_t part = head_load_acquire(resource_of(&r))->capacity / 64, lanes = 0;
        for (; lanes < 5 && part * parts[lanes] >= 256; lanes++) {
            size_t most = part * parts[lanes + 1] < 256 ? 256 : part * parts[lanes + 1];
            assert_in_range(largest_run(&r, 8, 2 * most), most - 8, most);
        }
        if (lanes < 5)
            assert_int_equal(largest_run(&r, 8, 32), 0);
        tsmbr_destroy(&r);
    }
}

static void no_run_is_larger_than_a_huge_page(void **state)
{
    (void)state;
    fixed f;
    fixed_open(&f, 256 << 20);
    assert_in_range(largest_run(&f.r, 64, 8 << 20), (2 << 20) - 64, 2 << 20);
    fixed_close(&f);
}

/* Two lanes in turn: no run can be made longer, and what a new one replaces is empty. */
static void alike_blocks_fill_their_runs(void **state)
{
    (void)state;
    static const size_t bytes[] = {16, 48, 100, 1000, 1821};
    for (size_t k = 0; k < sizeof bytes / sizeof *bytes; k++) {
        fixed f;
        tsmbr_lane l[2];
        size_t served = 0;
        fixed_open(&f, 1 << 20);
        for (int i = 0; i < 2; i++)
            tsmbr_lane_open(&l[i], &f.r);
        for (; served < f.size - 2 * f.size / 64; served += bytes[k])
            assert_non_null(tsmbr_lane_allocate(&l[served / bytes[k] % 2], bytes[k], 1));
        assert_int_equal(statistics_of(&f.r).wasted_bytes, 0);
        fixed_close(&f);
    }
}

/* For the last bytes of a chunk, which hold the block and no other like it. */
static void a_run_is_not_given_up_for_none(void **state)
{
    (void)state;
    fixed f;
    tsmbr_lane l;
    fixed_open(&f, 16 << 10);
    assert_non_null(tsmbr_allocate(&f.r, 1, 1));
    tsmbr_lane_open(&l, &f.r);
    assert_non_null(tsmbr_lane_allocate(&l, 16, 1));
    assert_non_null(tsmbr_lane_allocate(&l, 232, 1)); /* of a run of 256 */
    assert_non_null(tsmbr_allocate(&f.r, f.size - 1 - 256 - 20, 1));
    assert_non_null(tsmbr_lane_allocate(&l, 17, 1));
    assert_int_equal(statistics_of(&f.r).wasted_bytes, 0);
    assert_non_null(tsmbr_lane_allocate(&l, 8, 1));
    assert_null(tsmbr_lane_allocate(&l, 4, 1));
    assert_non_null(tsmbr_lane_allocate(&l, 3, 1));
    assert_int_equal(statistics_of(&f.r).allocated_bytes, f.size);
    fixed_close(&f);
}

static void closing_gives_the_tail_back(void **state)
{
    (void)state;
    fixed f;
    tsmbr_lane l;
    fixed_open(&f, 1 << 20);
    lane_start(&l, &f.r);
    unsigned char *last = tsmbr_lane_allocate(&l, 10, 1);
    size_t asked = (size_t)(last + 10 - f.buffer);
    assert_true(statistics_of(&f.r).allocated_bytes > asked); /* what an open lane holds is handed out */
    tsmbr_lane_close(&l);
    assert_null(l.resource);
    assert_int_equal(statistics_of(&f.r).allocated_bytes, asked);
    assert_int_equal(statistics_of(&f.r).wasted_bytes, 0);
    tsmbr_lane_close(&l); /* does nothing */
    assert_int_equal(statistics_of(&f.r).allocated_bytes, asked);

    lane_start(&l, &f.r);
    unsigned char *again = tsmbr_lane_allocate(&l, 1, 1);
    assert_in_range(again - last, 10, 12);
    tsmbr_lane_close(&l);
    fixed_close(&f);
}

static void closing_is_a_waste_if_others_came_behind(void **state)
{
    (void)state;
    fixed f;
    tsmbr_lane a, b;
    fixed_open(&f, 1 << 20);
    lane_start(&a, &f.r);
    lane_start(&b, &f.r);
    size_t left = lane_left(&a);
    size_t asked = statistics_of(&f.r).allocated_bytes - left - lane_left(&b);
    tsmbr_lane_close(&a);
    assert_int_equal(statistics_of(&f.r).wasted_bytes, left);
    tsmbr_lane_close(&b);
    assert_int_equal(statistics_of(&f.r).wasted_bytes, left);
    assert_int_equal(statistics_of(&f.r).allocated_bytes, asked);
    /* An empty lane, and one without a resource. */
    tsmbr_lane_open(&a, &f.r);
    tsmbr_lane_close(&a);
    tsmbr_lane_close(&a);
    assert_int_equal(statistics_of(&f.r).wasted_bytes, left);
    tsmbr_release(&f.r);
    assert_int_equal(statistics_of(&f.r).wasted_bytes, 0);
    fixed_close(&f);
}

/* The lane's chunk is not current any more. */
static void closing_after_the_chunk_was_left(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_lane l;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .initial_size = 1 << 16});
    lane_start(&l, &r);
    size_t left = lane_left(&l);
    while (w.calls < 2)
        assert_non_null(tsmbr_allocate(&r, 5000, 1));
    size_t before = statistics_of(&r).wasted_bytes;
    tsmbr_lane_close(&l);
    assert_int_equal(statistics_of(&r).wasted_bytes, before + left);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Memory behind the caller's buffer. */
typedef struct behind {
    unsigned char *memory;
    size_t bytes;
} behind;

static void *grant_behind(void *context, size_t bytes, size_t alignment)
{
    (void)alignment;
    const behind *b = context;
    return bytes == b->bytes ? b->memory : NULL;
}

static void take_behind(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)alignment;
    behind *b = context;
    assert_ptr_equal(ptr, b->memory);
    assert_int_equal(bytes, b->bytes);
    b->bytes = 0;
}

/* A lane at the end of the caller's buffer; the current chunk is empty and begins there, as it may. They are
 * neighbours, but not in one chunk. */
static void an_empty_chunk_behind_the_lane_is_left_alone(void **state)
{
    (void)state;
    enum { FIRST = 1 << 16, SECOND = 2048 };
    tsmbr_resource r;
    tsmbr_lane l;
    unsigned char *buffer = pages_allocate(FIRST + 4096);
    assert_non_null(buffer);
    behind b = {buffer + FIRST, SECOND};
    const tsmbr_upstream u = {grant_behind, take_behind, &b};
    /* Of what the limit leaves, half is asked for. */
    tsmbr_init(&r, &(tsmbr_config){.upstream = &u, .buffer = buffer, .buffer_size = FIRST, .limit = 2 * SECOND});
    unsigned char *p = NULL;
    while (p != b.memory)
        p = tsmbr_allocate(&r, 100, 1);
    tsmbr_reset(&r, SIZE_MAX);
    size_t served = 0;
    tsmbr_lane_open(&l, &r);
    for (; l.cursor == NULL || l.cursor + lane_left(&l) != buffer + FIRST; served++)
        assert_non_null(tsmbr_lane_allocate(&l, 1, 1));
    size_t left = lane_left(&l);
    assert_true(left > 0 && served + left == FIRST);
    /* Makes the kept chunk the current one, which cannot serve this, either. */
    assert_null(tsmbr_try_allocate(&r, SECOND, 1));
    assert_false(tsmbr_try_resize(&r, l.cursor - 1, 1, left + 2));
    tsmbr_lane_close(&l);
    tsmbr_statistics s = statistics_of(&r);
    assert_int_equal(s.allocated_bytes, served);
    assert_int_equal(s.wasted_bytes, left);
    assert_ptr_equal(tsmbr_allocate(&r, 10, 1), b.memory);
    tsmbr_destroy(&r);
    assert_int_equal(b.bytes, 0);
    pages_free(buffer);
}

static void errors_are_those_of_allocate(void **state)
{
    (void)state;
    fixed f;
    tsmbr_lane l;
    fixed_open(&f, 4 << 20);
    for (int with_room = 0; with_room < 2; with_room++) {
        tsmbr_lane_open(&l, &f.r);
        if (with_room)
            lane_start(&l, &f.r);
        const size_t bad[] = {0, 3, 24, SIZE_MAX, SIZE_MAX / 2};
        tsmbr_statistics before = statistics_of(&f.r);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            errno = 0;
            assert_null(tsmbr_lane_try_allocate(&l, 8, bad[i]));
            assert_int_equal(errno, 0);
            assert_null(tsmbr_lane_allocate(&l, 8, bad[i]));
            assert_int_equal(errno, EINVAL);
        }
        const size_t huge[] = {SIZE_MAX, SIZE_MAX - 4095, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, 5 << 20};
        for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
            for (size_t alignment = 1; alignment != 0; alignment *= 2) {
                errno = 0;
                assert_null(tsmbr_lane_try_allocate(&l, huge[i], alignment));
                assert_int_equal(errno, 0);
                assert_null(tsmbr_lane_allocate(&l, huge[i], alignment));
                assert_int_equal(errno, ENOMEM);
            }
        assert_int_equal(statistics_of(&f.r).allocated_bytes, before.allocated_bytes);
        errno = 7;
        for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2) {
            void *p = tsmbr_lane_allocate(&l, 3, alignment);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % alignment, 0);
        }
        unsigned char *zero = tsmbr_lane_allocate(&l, 0, 1), *one = tsmbr_lane_allocate(&l, 0, 1);
        assert_true(zero != NULL && one != NULL && zero != one);
        assert_int_equal(errno, 7);
        tsmbr_lane_close(&l);
        tsmbr_release(&f.r);
    }
    fixed_close(&f);
}

static void chunks_follow_by_the_upstream(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_lane l;
    blocks all = {0};
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    tsmbr_lane_open(&l, &r);
    dice d = dice_make(run_seed(), 1);
    assert_null(tsmbr_lane_try_allocate(&l, 1, 1)); /* there is nothing yet */
    assert_int_equal(w.calls, 0);
    for (int i = 0; i < 20000; i++) {
        size_t bytes = i % 1000 == 999 ? 100000 : dice_size(&d, 500), alignment = dice_alignment(&d, 64);
        size_t calls = w.calls;
        void *p = i % 2 == 0 ? tsmbr_lane_try_allocate(&l, bytes, alignment) : NULL;
        assert_int_equal(w.calls, calls);
        if (p == NULL)
            p = tsmbr_lane_allocate(&l, bytes, alignment);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignment, 0);
        assert_true(tsmbr_owns(&r, p) && watch_granted(&w, p, bytes));
        blocks_add(&all, p, bytes, dice_roll(&d));
    }
    tsmbr_lane_close(&l);
    assert_int_equal(blocks_check(&all), 0);
    blocks_free(&all);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* What tsmbr_try_allocate serves from memory already held, tsmbr_lane_try_allocate does, too. */
static void kept_chunks_are_memory_already_held(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    for (int by_lane = 0; by_lane < 2; by_lane++) {
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
        for (int i = 0; i < 10000; i++)
            assert_non_null(tsmbr_allocate(&r, 100, 1));
        tsmbr_reset(&r, SIZE_MAX);
        tsmbr_lane l;
        tsmbr_lane_open(&l, &r);
        size_t calls = w.calls;
        for (int i = 0; i < 10000; i++)
            assert_non_null(by_lane ? tsmbr_lane_try_allocate(&l, 100, 1) : tsmbr_try_allocate(&r, 100, 1));
        assert_int_equal(w.calls, calls);
        tsmbr_lane_close(&l);
        tsmbr_destroy(&r);
    }
    watch_close(&w);
}

/* Lanes, shared calls and resizing, mixed by one thread. */
static void lanes_and_shared_calls_mix(void **state)
{
    (void)state;
    enum { LANES = 5 };
    for (uint64_t stream = 0; stream < rounds_for(20); stream++) {
        watch w;
        watch_open(&w);
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream,
                                       .initial_size = 50000,
                                       .flags = stream % 2 == 0 ? TSMBR_SHARED_ONLY : 0});
        tsmbr_lane l[LANES];
        blocks all = {0};
        for (int i = 0; i < LANES; i++)
            tsmbr_lane_open(&l[i], &r);
        dice d = dice_make(run_seed(), stream);
        size_t asked = 0, resized = 0;
        for (int i = 0; i < 5000; i++) {
            size_t bytes = 1 + dice_size(&d, 300), which = dice_below(&d, LANES + 2);
            unsigned char *p =
                which < LANES ? tsmbr_lane_allocate(&l[which], bytes, 1) : tsmbr_allocate(&r, bytes, 1);
            assert_non_null(p);
            if (dice_below(&d, 10) == 0 && tsmbr_try_resize(&r, p, bytes, bytes + 9)) {
                bytes += 9;
                resized++;
            }
            asked += bytes;
            blocks_add(&all, p, bytes, dice_roll(&d));
            if (dice_below(&d, 100) == 0) {
                which = dice_below(&d, LANES);
                tsmbr_lane_close(&l[which]);
                tsmbr_lane_open(&l[which], &r);
            }
        }
        assert_int_equal(blocks_check(&all), 0);
        assert_true(resized > 0);
        for (int i = 0; i < LANES; i++)
            tsmbr_lane_close(&l[i]);
        assert_int_equal(statistics_of(&r).allocated_bytes, asked);
        blocks_free(&all);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

/* ---------------------------------------------------------------------------------- threads -- */

typedef struct relay {
    tsmbr_resource r;
    tsmbr_lane l;
    pthread_mutex_t baton;
    blocks b[6];
    atomic_size_t faults;
} relay;

static void relay_work(void *argument, size_t index)
{
    relay *y = argument;
    dice d = dice_make(run_seed(), index);
    for (size_t i = 0; i < rounds_for(2000); i++) {
        size_t bytes = 1 + dice_size(&d, 100);
        pthread_mutex_lock(&y->baton);
        void *p = tsmbr_lane_allocate(&y->l, bytes, 1);
        if (dice_below(&d, 200) == 0) {
            tsmbr_lane_close(&y->l);
            tsmbr_lane_open(&y->l, &y->r);
        }
        pthread_mutex_unlock(&y->baton);
        if (p != NULL)
            blocks_add(&y->b[index], p, bytes, dice_roll(&d));
        else
            y->faults++;
        p = tsmbr_allocate(&y->r, bytes, 1); /* its own lane, at the same time */
        if (p != NULL)
            blocks_add(&y->b[index], p, bytes, dice_roll(&d));
    }
}

static void a_lane_passes_from_thread_to_thread(void **state)
{
    (void)state;
    static relay y;
    tsmbr_init(&y.r, &(tsmbr_config){.initial_size = 1 << 18});
    tsmbr_lane_open(&y.l, &y.r);
    pthread_mutex_init(&y.baton, NULL);
    (void)run_seed();
    run_threads(6, relay_work, &y);
    blocks all = {0};
    for (int i = 0; i < 6; i++) {
        blocks_append(&all, &y.b[i]);
        blocks_free(&y.b[i]);
    }
    assert_int_equal(y.faults + blocks_check(&all), 0);
    blocks_free(&all);
    tsmbr_lane_close(&y.l);
    pthread_mutex_destroy(&y.baton);
    tsmbr_destroy(&y.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_follow_each_other),
        cmocka_unit_test(fewer_lanes_take_larger_parts),
        cmocka_unit_test(lanes_of_both_kinds_count_alike),
        cmocka_unit_test(runs_in_small_chunks),
        cmocka_unit_test(no_run_is_larger_than_a_huge_page),
        cmocka_unit_test(alike_blocks_fill_their_runs),
        cmocka_unit_test(a_run_is_not_given_up_for_none),
        cmocka_unit_test(closing_gives_the_tail_back),
        cmocka_unit_test(closing_is_a_waste_if_others_came_behind),
        cmocka_unit_test(closing_after_the_chunk_was_left),
        cmocka_unit_test(an_empty_chunk_behind_the_lane_is_left_alone),
        cmocka_unit_test(errors_are_those_of_allocate),
        cmocka_unit_test(chunks_follow_by_the_upstream),
        cmocka_unit_test(kept_chunks_are_memory_already_held),
        cmocka_unit_test(lanes_and_shared_calls_mix),
        cmocka_unit_test(a_lane_passes_from_thread_to_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
