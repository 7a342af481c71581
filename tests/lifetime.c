/* Release, reset, destroy, cleanups. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "layout.h"

/* The sizes a workload asks of the upstream. */
typedef struct tape {
    size_t sizes[64];
    size_t count;
} tape;

static void *tape_allocate(void *context, size_t bytes, size_t alignment)
{
    tape *t = context;
    assert_true(t->count < 64);
    t->sizes[t->count++] = bytes;
    (void)alignment;
    /* On a line, so that what a chunk serves does not depend on malloc's mood. */
    return tsmbr_malloc_upstream()->allocate(NULL, bytes, PLACE_LINE);
}

static void tape_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    tsmbr_malloc_upstream()->deallocate(NULL, ptr, bytes, PLACE_LINE);
}

static void work(tsmbr_resource *r, size_t count)
{
    dice roll = dice_make(42, 1);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = i % 100 == 99 ? 30000 + dice_below(&roll, 3000) : dice_below(&roll, 300);
        char *p = tsmbr_allocate(r, bytes, dice_alignment(&roll, 64));
        assert_non_null(p);
        memset(p, (int)i, bytes);
    }
}

/* Elsewhere chunks went on growing after a release from where they had been (the C++ library working group's issue
 * 3120), or the first block came from memory that had gone back (boost/container 65), which a sanitizer would
 * report here. */
static void release_returns_to_the_constructed_state(void **state)
{
    (void)state;
    char buffer[500];
    const tsmbr_config configs[] = {
        {0},
        {.initial_size = 5000},
        {.buffer = buffer, .buffer_size = sizeof buffer},
        {.buffer = buffer, .buffer_size = sizeof buffer, .initial_size = 100, .limit = 10000000},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        tape lives[3] = {{{0}, 0}};
        tsmbr_upstream upstream = {tape_allocate, tape_deallocate, &lives[0]};
        tsmbr_config config = configs[i];
        config.upstream = &upstream;
        tsmbr_resource r;
        assert_int_equal(tsmbr_init(&r, &config), 0);
        for (size_t life = 0; life < 3; life++) {
            upstream.context = &lives[life];
            char *first = tsmbr_allocate(&r, 1, 1);
            if (config.buffer != NULL)
                assert_ptr_equal(first, buffer);
            work(&r, 1000);
            tsmbr_release(&r);
            tsmbr_statistics s;
            tsmbr_get_statistics(&r, &s);
            assert_int_equal(s.allocated_bytes, 0);
            assert_int_equal(s.reserved_bytes, 0);
            assert_int_equal(s.chunks, 0);
            assert_int_equal(s.wasted_bytes, 0);
            assert_true(s.peak_reserved_bytes > 30000);
            assert_true(lives[life].count > 3);
            assert_int_equal(lives[life].count, lives[0].count);
            assert_memory_equal(lives[life].sizes, lives[0].sizes, sizeof lives[0].sizes);
        }
        tsmbr_destroy(&r);
    }
}

static void release_gives_everything_back(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    tsmbr_release(&r);
    for (int i = 0; i < 3; i++) {
        work(&r, 500);
        assert_true(w.live > 2);
        tsmbr_release(&r);
        assert_int_equal(w.live, 0);
        tsmbr_release(&r);
    }
    tsmbr_destroy(&r);
#ifndef TSMBR_DEBUG
    tsmbr_destroy(&r);
#endif
    watch_close(&w);
}

static void reset_keeps_what_it_may(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    work(&r, 2000);
    size_t held = w.held;
    const size_t keeps[] = {SIZE_MAX, held, held - 1, held / 2, held / 10, 1000, 0};
    for (size_t i = 0; i < sizeof keeps / sizeof keeps[0]; i++) {
        tsmbr_reset(&r, keeps[i]);
        assert_true(w.held <= keeps[i]);
        if (keeps[i] >= held)
            assert_int_equal(w.held, held);
        tsmbr_statistics s;
        tsmbr_get_statistics(&r, &s);
        assert_int_equal(s.allocated_bytes, 0);
        assert_int_equal(s.wasted_bytes, 0);
        assert_int_equal(s.reserved_bytes, w.held);
        assert_int_equal(s.chunks, w.live);
        work(&r, 2000);
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Three chunks of small blocks and two of a large block each, which lie between them in time: whatever is to be
 * kept, those are that fit when the small blocks' are asked first, then the others, the oldest first. */
static void reset_keeps_the_oldest_and_large_ones_last(void **state)
{
    (void)state;
    enum { SMALL = 3, LARGE = 2, PARTS = 60 };
    for (size_t part = 0; part <= PARTS; part++) {
        watch w;
        watch_open(&w);
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
        void *in_chunk[SMALL + LARGE];
        size_t bytes[SMALL + LARGE];
        for (size_t i = 0; i < SMALL; i++) {
            size_t grants = w.grants;
            while (w.grants == grants)
                in_chunk[i] = tsmbr_allocate(&r, 100, 1);
            bytes[i] = w.last_bytes;
            if (i >= LARGE)
                continue;
            in_chunk[SMALL + i] = tsmbr_allocate(&r, 50000, 1);
            assert_int_equal(w.grants, grants + 2);
            bytes[SMALL + i] = w.last_bytes;
        }
        size_t keep = w.held * part / PARTS, kept = 0;
        tsmbr_reset(&r, keep);
        for (size_t i = 0; i < SMALL + LARGE; i++) {
            bool stays = bytes[i] <= keep - kept;
            kept += stays ? bytes[i] : 0;
            assert_int_equal(watch_granted(&w, in_chunk[i], 1), stays);
        }
        assert_int_equal(w.held, kept);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

static void without_recycling_reset_is_release(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .flags = TSMBR_NO_RECYCLE});
    work(&r, 2000);
    assert_true(w.live > 2);
    tsmbr_reset(&r, SIZE_MAX);
    assert_int_equal(w.live, 0);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* The same calls in the same order get the same blocks, and nothing is asked of the upstream. */
static void reset_rewinds(void **state)
{
    (void)state;
    enum { CALLS = 700, STREAMS = 60, ROUNDS = 4 };
    static char buffer[777];
    static void *first_round[CALLS];
    for (uint64_t stream = 0; stream < STREAMS; stream++) {
        dice settings = dice_make(run_seed(), 1000 + stream);
        watch w;
        watch_open(&w);
        w.misalign = dice_below(&settings, 3) == 0 ? dice_below(&settings, 64) : 0;
        tsmbr_config config = {.upstream = &w.upstream};
        if (stream % 2 == 1)
            config.buffer = buffer, config.buffer_size = dice_below(&settings, sizeof buffer);
        if (stream % 5 == 1)
            config.initial_size = dice_size(&settings, 100000);
        size_t most = (size_t)1 << dice_below(&settings, 16);
        tsmbr_resource r;
        assert_int_equal(tsmbr_init(&r, &config), 0);
        size_t calls = 0;
        for (int round = 0; round < ROUNDS; round++) {
            dice roll = dice_make(run_seed(), stream);
            for (int i = 0; i < CALLS; i++) {
                size_t bytes = dice_size(&roll, most);
                void *p = tsmbr_allocate(&r, bytes, dice_alignment(&roll, 512));
                assert_non_null(p);
                if (round > 0)
                    assert_ptr_equal(p, first_round[i]);
                first_round[i] = p;
            }
            if (round == 0)
                calls = w.calls;
            assert_int_equal(w.calls, calls);
            tsmbr_statistics s;
            tsmbr_get_statistics(&r, &s);
            assert_int_equal(s.chunks, w.live);
            assert_int_equal(s.reserved_bytes, w.held);
            tsmbr_reset(&r, SIZE_MAX);
        }
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

/* Frames of one shape after frames of another: kept memory is used, and chunks grow where they must. */
static void reset_serves_another_shape(void **state)
{
    (void)state;
    const size_t shapes[][3] = {{64, 370, 0}, {64, 380, 0},    {1000, 4000, 0},
                                {64, 72, 64}, {16, 100000, 0}, {3000, 1, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        watch w;
        watch_open(&w);
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .initial_size = shapes[i][2]});
        for (size_t frame = 0; frame < 4; frame++) {
            size_t calls = w.calls;
            for (int n = 0; n < 2000; n++)
                assert_non_null(tsmbr_allocate(&r, shapes[i][frame % 2], 8));
            assert_true(w.calls - calls < 40);
            tsmbr_reset(&r, SIZE_MAX);
        }
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

/* With everything kept under a limit, a frame of another shape gets most of it. */
static void kept_memory_under_a_limit_serves_another_shape(void **state)
{
    (void)state;
    const size_t shapes[] = {64, 400, 64, 5000, 30};
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = (size_t)1 << 20});
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t served = 0;
        while (served < (size_t)1 << 20 && tsmbr_allocate(&r, shapes[i], 8) != NULL)
            served += shapes[i];
        assert_in_range(served, (size_t)7 << 17, (size_t)1 << 20);
        tsmbr_reset(&r, SIZE_MAX);
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* A request that fails on its way through the kept chunks costs later ones nothing. */
static void a_failed_request_leaves_kept_memory_usable(void **state)
{
    (void)state;
    const size_t impossible[] = {SIZE_MAX, SIZE_MAX / 4, 3000000, 70000, 3000};
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        watch w;
        watch_open(&w);
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
        size_t first = 0;
        while (w.calls < 6 && tsmbr_allocate(&r, 64, 8) != NULL)
            first += 64;
        w.fail_every = 1;
        while (tsmbr_allocate(&r, 64, 8) != NULL)
            first += 64;
        tsmbr_reset(&r, SIZE_MAX);
        for (int n = 0; n < 100; n++)
            if (tsmbr_allocate(&r, impossible[i], 8) != NULL)
                first -= impossible[i] + 64;
        size_t second = 0;
        while (second < 2 * first && tsmbr_allocate(&r, 64, 8) != NULL)
            second += 64;
        assert_true(second + 64 * 64 >= first && second <= first + 64 * 64);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

/* tsmbr_try_allocate does not spend kept chunks that tsmbr_allocate would leave for others. */
static void try_allocate_leaves_kept_chunks_alone(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_non_null(tsmbr_allocate(&r, 64, 8));
    char *large = tsmbr_allocate(&r, 1 << 20, 8);
    tsmbr_reset(&r, SIZE_MAX);
    size_t tried = 0;
    while (tried < 1000 && tsmbr_try_allocate(&r, 64, 8) != NULL)
        tried++;
    assert_in_range(tried, 25, 32); /* the first chunk */
    assert_non_null(tsmbr_allocate(&r, 64, 8));
    assert_int_equal(w.last_bytes, 2048);
    assert_ptr_equal(tsmbr_allocate(&r, 1 << 20, 8), large);
    tsmbr_destroy(&r);

    /* Nor one of its own size, where tsmbr_allocate would get the next chunk for everyone. */
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .initial_size = 3000});
    assert_non_null(tsmbr_allocate(&r, 2990, 1));
    assert_non_null(tsmbr_allocate(&r, 700, 1));
    tsmbr_reset(&r, SIZE_MAX);
    assert_non_null(tsmbr_allocate(&r, 2990, 1));
    assert_null(tsmbr_try_allocate(&r, 500, 1));
    assert_non_null(tsmbr_try_allocate(&r, 700, 1));
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* A kept chunk is not spent on a request far smaller than it was made for. */
static void a_kept_large_chunk_waits_for_its_like(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    char buffer[100];
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .buffer = buffer, .buffer_size = sizeof buffer});
    void *large = tsmbr_allocate(&r, 100000, 1);
    tsmbr_reset(&r, SIZE_MAX);
    assert_non_null(tsmbr_allocate(&r, 600, 1));
    assert_ptr_equal(tsmbr_allocate(&r, 100000, 1), large);
    assert_true(w.held < 101000);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Memory that is held serves what fits it, even where its shape is not what was planned. */
static void under_a_limit_kept_memory_is_the_last_resort(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    char buffer[100];
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){
                       .upstream = &w.upstream, .buffer = buffer, .buffer_size = sizeof buffer, .limit = 50200});
    assert_non_null(tsmbr_allocate(&r, 50000, 1)); /* a chunk of its own, and the limit is reached */
    assert_int_equal(w.live, 1);
    tsmbr_reset(&r, SIZE_MAX);
    size_t served = 0;
    while (served < 60000 && tsmbr_allocate(&r, 50, 1) != NULL)
        served += 50;
    assert_in_range(served, 50000, 50300);
    assert_int_equal(w.calls, 1);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* What the lists say of themselves is true. */
static void check_lists(tsmbr_resource *self)
{
    const chunk *c = resource_of(self)->head;
    for (; c != NULL && c->prev != NULL; c = c->prev)
        assert_int_equal(c->held, c->prev->held + c->allocation_size);
    assert_true(c == NULL || c->held == c->allocation_size);
    for (c = resource_of(self)->head; c != NULL && c->follow != NULL; c = c->follow) {
        assert_ptr_equal(c->follow->prev, c);
        assert_int_equal(c->follow->held, c->held + c->follow->allocation_size);
    }
}

/* Kept chunks serve requests of another shape, too, and blocks in them are apart. */
static void kept_chunks_serve_any_shape(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    dice roll = dice_make(run_seed(), 2);
    for (size_t round = 0; round < rounds_for(300); round++) {
        blocks all = {0};
        size_t most = (size_t)1 << dice_below(&roll, 18);
        size_t total = dice_below(&roll, 400000);
        for (size_t done = 0; done < total; done += 1 + most / 4) {
            size_t bytes = dice_size(&roll, most), alignment = dice_alignment(&roll, 4096);
            void *p = tsmbr_allocate(&r, bytes, alignment);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % alignment, 0);
            assert_true(tsmbr_owns(&r, p));
            blocks_add(&all, p, bytes, dice_roll(&roll));
        }
        assert_int_equal(blocks_check(&all), 0);
        blocks_free(&all);
        tsmbr_statistics s;
        tsmbr_get_statistics(&r, &s);
        assert_int_equal(s.chunks, w.live);
        assert_int_equal(s.reserved_bytes, w.held);
        tsmbr_reset(&r, dice_below(&roll, 3) == 0 ? dice_below(&roll, 1 << 20) : SIZE_MAX);
        check_lists(&r);
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* ------------------------------------------------------------------------------- cleanups -- */

static char order[200];
static char a[] = "a", b[] = "b", c[] = "c", d[] = "d", x[] = "x", y[] = "y";

static void note(void *name)
{
    strcat(order, name);
}

static void cleanups_run_in_reverse(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    void (*const ends[])(tsmbr_resource *) = {tsmbr_release, tsmbr_destroy};
    for (int i = 0; i < 2; i++) {
        order[0] = 0;
        assert_int_equal(tsmbr_on_release(&r, note, a), 0);
        assert_int_equal(tsmbr_on_release(&r, note, b), 0);
        assert_int_equal(tsmbr_on_release(&r, note, c), 0);
        assert_string_equal(order, "");
        if (i == 0) {
            tsmbr_reset(&r, SIZE_MAX);
            assert_string_equal(order, "cba");
            tsmbr_reset(&r, SIZE_MAX);
            assert_string_equal(order, "cba"); /* once each */
            assert_int_equal(tsmbr_on_release(&r, note, d), 0);
        }
        ends[i](&r);
        assert_string_equal(order, i == 0 ? "cbad" : "cba");
        if (i == 1)
            tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    }
    errno = 0;
    assert_int_equal(tsmbr_on_release(&r, NULL, NULL), EINVAL);
    assert_int_equal(errno, EINVAL);
    tsmbr_destroy(&r);
    watch_close(&w);
}

typedef struct chain {
    tsmbr_resource *r;
    char *text; /* in the resource: must still be there when the cleanup runs */
    int left;
} chain;

static void link_cleanup(void *argument)
{
    chain *link = argument;
    assert_string_equal(link->text, "still here");
    strcat(order, x);
    assert_non_null(tsmbr_allocate(link->r, 100, 8));
    if (--link->left > 0)
        assert_int_equal(tsmbr_on_release(link->r, link_cleanup, link), 0);
}

static void a_cleanup_may_use_the_resource(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    order[0] = 0;
    chain links = {&r, tsmbr_strdup(&r, "still here"), 5};
    assert_int_equal(tsmbr_on_release(&r, note, y), 0);
    assert_int_equal(tsmbr_on_release(&r, link_cleanup, &links), 0);
    tsmbr_release(&r);
    assert_string_equal(order, "xxxxxy");
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void a_cleanup_needs_memory(void **state)
{
    (void)state;
    char buffer[sizeof(void *) * 8];
    tsmbr_resource r;
    tsmbr_init(&r,
               &(tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = buffer, .buffer_size = sizeof buffer});
    order[0] = 0;
    int registered = 0;
    while (tsmbr_on_release(&r, note, y) == 0)
        registered++;
    assert_int_equal(errno, ENOMEM);
    assert_true(registered == 1 || registered == 2);
    tsmbr_release(&r);
    assert_int_equal(strlen(order), registered);
    tsmbr_destroy(&r);
}

/* The limit makes the last chunks smaller and smaller, so that some in the middle go. */
static void reset_may_keep_some_of_the_chain(void **state)
{
    (void)state;
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.limit = 100000});
    for (size_t keep = 100000; keep > 1000; keep -= 3000) {
        while (tsmbr_allocate(&r, 100, 1) != NULL)
            ;
        tsmbr_reset(&r, keep);
        check_lists(&r);
    }
    tsmbr_destroy(&r);
}

/* ------------------------------------------------------------------------------------ reserve -- */

static void reserved_memory_serves_without_the_upstream(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_int_equal(tsmbr_reserve(&r, 0), 0);
    assert_int_equal(w.calls, 1); /* a chunk, if a small one: there was none */
    for (size_t bytes = 1000; bytes <= 100 << 20; bytes *= 7) {
        size_t before = w.calls;
        assert_int_equal(tsmbr_reserve(&r, bytes), 0);
        assert_int_equal(w.calls, before + 1);
        assert_int_equal(tsmbr_reserve(&r, bytes), 0); /* there is one now */
        assert_int_equal(w.calls, before + 1);
        for (size_t i = 0; i < 100; i++)
            assert_non_null(tsmbr_allocate(&r, bytes / 100, 1));
        assert_int_equal(w.calls, before + 1);
        tsmbr_statistics s;
        tsmbr_get_statistics(&r, &s);
        assert_int_equal(s.reserved_bytes, w.held);
        assert_int_equal(s.chunks, w.live);
    }
    tsmbr_reset(&r, SIZE_MAX);
    size_t before = w.calls;
    assert_non_null(tsmbr_allocate(&r, 100, 1));
    assert_int_equal(tsmbr_reserve(&r, 16 << 20), 0); /* kept */
    assert_int_equal(w.calls, before);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void the_first_reservation_is_served_whole(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_int_equal(tsmbr_reserve(&r, 1 << 20), 0);
    char *p = tsmbr_allocate(&r, 1 << 20, 1);
    assert_non_null(p);
    memset(p, 1, 1 << 20);
    assert_int_equal(w.calls, 1);
    tsmbr_release(&r);
    assert_int_equal(w.live, 0);

    /* Behind the caller's buffer, which is used first. */
    char buffer[64];
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .buffer = buffer, .buffer_size = sizeof buffer});
    assert_int_equal(tsmbr_reserve(&r, 64), 0);
    assert_int_equal(w.live, 0);
    assert_int_equal(tsmbr_reserve(&r, 65), 0);
    assert_int_equal(w.live, 1);
    assert_ptr_equal(tsmbr_allocate(&r, 60, 1), buffer);
    assert_non_null(tsmbr_allocate(&r, 10, 1));
    assert_int_equal(w.calls, 2);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* A request that shares the reserved chunk with others, but is large beside the current one. */
static void a_reservation_makes_requests_small(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_non_null(tsmbr_allocate(&r, 100, 1));
    assert_int_equal(tsmbr_reserve(&r, 1 << 20), 0);
    for (int i = 0; i < 10; i++)
        assert_non_null(tsmbr_allocate(&r, 100000, 1));
    assert_int_equal(w.calls, 2);
    size_t held = w.held;
    tsmbr_release(&r);
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    assert_int_equal(s.peak_reserved_bytes, held);
    tsmbr_destroy(&r);
    watch_close(&w);
}

typedef struct frames {
    tsmbr_resource r;
    watch w;
    size_t calls; /* of the upstream, when the frame before ended */
    atomic_size_t refused;
    size_t settled; /* frames that asked it for nothing and had one chunk */
} frames;

static void frame_work(void *argument, size_t index, size_t round)
{
    frames *f = argument;
    (void)round;
    dice roll = dice_make(run_seed(), index);
    for (int i = 0; i < 5000; i++)
        f->refused += tsmbr_allocate(&f->r, dice_size(&roll, 1000), dice_alignment(&roll, 64)) == NULL;
}

/* As the header has it. */
static void frame_at_rest(void *argument, size_t round)
{
    frames *f = argument;
    (void)round;
    tsmbr_statistics s;
    tsmbr_get_statistics(&f->r, &s);
    f->settled += s.chunks == 1 && f->w.calls == f->calls;
    if (s.chunks > 1) {
        tsmbr_release(&f->r);
        (void)tsmbr_reserve(&f->r, s.reserved_bytes);
    } else {
        tsmbr_reset(&f->r, SIZE_MAX);
    }
    f->calls = f->w.calls;
}

static void frames_settle_in_one_chunk(void **state)
{
    (void)state;
    enum { FRAMES = 20 };
    for (size_t threads = 1; threads <= 8; threads *= 2) {
        frames f = {.refused = 0};
        watch_open(&f.w);
        tsmbr_init(&f.r, &(tsmbr_config){.upstream = &f.w.upstream});
        run_rounds(threads, FRAMES, frame_work, frame_at_rest, &f);
        /* But for the first, and for those that just do not fit: each of these makes the chunk twice as large. */
        assert_true(f.settled >= FRAMES - 3);
        assert_int_equal(f.refused, 0);
        tsmbr_destroy(&f.r);
        watch_close(&f.w);
    }
}

/* Whether the reserved chunk is got or was kept, and however often it is asked for: later frames get the same
 * blocks and ask for nothing. */
static void a_reservation_holds_in_the_next_frame(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    void *first[3] = {NULL};
    for (int frame = 0; frame < 4; frame++) {
        assert_non_null(tsmbr_allocate(&r, 100, 1));
        for (int asked = 0; asked <= frame; asked++)
            assert_int_equal(tsmbr_reserve(&r, 1 << 20), 0);
        void *got[] = {tsmbr_allocate(&r, 100000, 1), tsmbr_allocate(&r, 100000, 1),
                       tsmbr_allocate(&r, 600000, 1)};
        for (size_t i = 0; i < sizeof got / sizeof *got; i++) {
            assert_non_null(got[i]);
            assert_true(frame == 0 || got[i] == first[i]);
            first[i] = got[i];
        }
        assert_int_equal(w.calls, 2);
        tsmbr_reset(&r, SIZE_MAX);
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* However often it is asked for, a chunk counts once in growth. */
static void a_reservation_counts_once(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_non_null(tsmbr_allocate(&r, 100, 1));
    for (int asked = 0; asked < 100; asked++)
        assert_int_equal(tsmbr_reserve(&r, 10000), 0);
    size_t held = w.held;
    while (w.calls < 3)
        assert_non_null(tsmbr_allocate(&r, 1000, 1));
    assert_true(w.held - held < 4 * held);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void the_largest_reservations_are_refused_unasked(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    for (size_t i = 0; i < 64; i++) {
        errno = 0;
        assert_int_equal(tsmbr_reserve(&r, SIZE_MAX - i), ENOMEM);
        assert_int_equal(tsmbr_reserve(&r, PTRDIFF_MAX - i), ENOMEM);
        assert_int_equal(tsmbr_reserve(&r, (size_t)PTRDIFF_MAX + 1 + i), ENOMEM);
        assert_int_equal(errno, ENOMEM);
    }
    assert_int_equal(w.calls, 0);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void set_errno(void *argument)
{
    errno = *(int *)argument;
}

static void reset_all(tsmbr_resource *r)
{
    tsmbr_reset(r, SIZE_MAX);
}

static void the_end_of_blocks_leaves_errno_alone(void **state)
{
    (void)state;
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    int other = EIO;
    void (*const ends[])(tsmbr_resource *) = {reset_all, tsmbr_release, tsmbr_destroy};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        assert_int_equal(tsmbr_on_release(&r, set_errno, &other), 0);
        errno = EDOM;
        ends[i](&r);
        assert_int_equal(errno, EDOM);
    }
}

static void a_reservation_fits_under_the_limit_with_what_it_takes_besides(void **state)
{
    (void)state;
    enum { LIMIT = 100000, RECORD = 127, TABLES = 33 * 128 };
    for (unsigned flags = 0; flags <= TSMBR_SHARED_ONLY; flags += TSMBR_SHARED_ONLY) {
        size_t most = LIMIT - RECORD - (flags == 0 ? TABLES : 0);
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.limit = LIMIT, .flags = flags});
        assert_int_equal(tsmbr_reserve(&r, most + 1), ENOMEM);
        assert_int_equal(tsmbr_reserve(&r, most), 0);
        assert_non_null(tsmbr_try_allocate(&r, most, 1));
        tsmbr_destroy(&r);
    }
}

static void a_reservation_refused_changes_nothing(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = 10000});
    assert_int_equal(tsmbr_reserve(&r, 5000), 0);
    size_t held = w.held;
    errno = 0;
    assert_int_equal(tsmbr_reserve(&r, 6000), ENOMEM);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(w.calls, 1);
    assert_int_equal(tsmbr_reserve(&r, SIZE_MAX), ENOMEM);
    assert_non_null(tsmbr_allocate(&r, 5000, 1));
    w.fail_call = 2;
    assert_int_equal(tsmbr_reserve(&r, 4000), ENOMEM);
    assert_int_equal(w.calls, 2);
    assert_int_equal(w.held, held);
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    assert_int_equal(s.reserved_bytes, held);
    assert_int_equal(s.chunks, 1);
    errno = 7;
    assert_int_equal(tsmbr_reserve(&r, 4000), 0);
    assert_int_equal(errno, 7);
    assert_true(w.peak <= 10000);
    tsmbr_destroy(&r);
    watch_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(release_returns_to_the_constructed_state),
        cmocka_unit_test(release_gives_everything_back),
        cmocka_unit_test(reset_keeps_what_it_may),
        cmocka_unit_test(reset_keeps_the_oldest_and_large_ones_last),
        cmocka_unit_test(without_recycling_reset_is_release),
        cmocka_unit_test(reset_rewinds),
        cmocka_unit_test(reset_serves_another_shape),
        cmocka_unit_test(kept_memory_under_a_limit_serves_another_shape),
        cmocka_unit_test(a_failed_request_leaves_kept_memory_usable),
        cmocka_unit_test(try_allocate_leaves_kept_chunks_alone),
        cmocka_unit_test(a_kept_large_chunk_waits_for_its_like),
        cmocka_unit_test(under_a_limit_kept_memory_is_the_last_resort),
        cmocka_unit_test(kept_chunks_serve_any_shape),
        cmocka_unit_test(reset_may_keep_some_of_the_chain),
        cmocka_unit_test(cleanups_run_in_reverse),
        cmocka_unit_test(a_cleanup_may_use_the_resource),
        cmocka_unit_test(a_cleanup_needs_memory),
        cmocka_unit_test(reserved_memory_serves_without_the_upstream),
        cmocka_unit_test(frames_settle_in_one_chunk),
        cmocka_unit_test(the_first_reservation_is_served_whole),
        cmocka_unit_test(a_reservation_makes_requests_small),
        cmocka_unit_test(a_reservation_holds_in_the_next_frame),
        cmocka_unit_test(a_reservation_counts_once),
        cmocka_unit_test(a_reservation_fits_under_the_limit_with_what_it_takes_besides),
        cmocka_unit_test(a_reservation_refused_changes_nothing),
        cmocka_unit_test(the_largest_reservations_are_refused_unasked),
        cmocka_unit_test(the_end_of_blocks_leaves_errno_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
