/* Construction, allocation, growth, large requests; every bad input and its documented answer. */
#include "tools.h"

#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make(tsmbr_resource *r, watch *w, tsmbr_config config)
{
    if (w != NULL)
        config.upstream = &w->upstream;
    assert_int_equal(tsmbr_init(r, &config), 0);
}

static bool aligned(const void *ptr, size_t alignment)
{
    return ptr != NULL && (uintptr_t)ptr % alignment == 0;
}

static void zero_bytes_are_a_default_resource(void **state)
{
    (void)state;
    static tsmbr_resource in_static_storage;
    static tsmbr_resource named = TSMBR_RESOURCE_INIT;
    tsmbr_resource on_stack;
    memset(&on_stack, 0, sizeof on_stack);
    tsmbr_resource *all[] = {&in_static_storage, &named, &on_stack};
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(tsmbr_upstream_resource(all[i]), tsmbr_system_upstream());
        char *p = tsmbr_allocate(all[i], 100, 8);
        assert_true(aligned(p, 8));
        memset(p, 1, 100);
        tsmbr_statistics s;
        tsmbr_get_statistics(all[i], &s);
        assert_int_equal(s.chunks, 1);
        tsmbr_destroy(all[i]);
#ifdef TSMBR_DEBUG
        tsmbr_init(all[i], NULL);
#endif
        /* Destroyed is all-zero again, but for the mark by which debug builds know it. */
        assert_non_null(tsmbr_allocate(all[i], 1, 1));
        tsmbr_destroy(all[i]);
    }
    tsmbr_destroy(NULL);
    assert_true(sizeof(tsmbr_resource) <= 512);
}

static void init_asks_the_upstream_for_nothing(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){.initial_size = 100000});
    assert_int_equal(w.calls, 0);
    assert_ptr_equal(tsmbr_upstream_resource(&r), &w.upstream);
    tsmbr_release(&r);
    tsmbr_destroy(&r);
    assert_int_equal(w.calls, 0);
    watch_close(&w);
}

static void bad_configs_are_refused(void **state)
{
    (void)state;
    char buffer[64];
    tsmbr_resource r;
    const tsmbr_upstream no_allocate = {NULL, tsmbr_malloc_upstream()->deallocate, NULL};
    const tsmbr_upstream no_deallocate = {tsmbr_malloc_upstream()->allocate, NULL, NULL};
    const tsmbr_config bad[] = {
        {.buffer_size = 100},
        {.upstream = &no_allocate},
        {.upstream = &no_deallocate},
        {.flags = 8},
        {.flags = ~0u},
        {.buffer = buffer, .buffer_size = sizeof buffer, .flags = 1u << 31},
        {.buffer = buffer, .buffer_size = SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&r, 0xFF, sizeof r);
        errno = 0;
        assert_int_equal(tsmbr_init(&r, &bad[i]), EINVAL);
        assert_int_equal(errno, EINVAL);
        /* What is left is a default resource. */
        assert_ptr_equal(tsmbr_upstream_resource(&r), tsmbr_system_upstream());
        assert_non_null(tsmbr_allocate(&r, 10, 2));
        tsmbr_destroy(&r);
    }
    errno = 0;
    assert_int_equal(tsmbr_init(NULL, NULL), EINVAL);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(tsmbr_init(&r, NULL), 0);
    tsmbr_destroy(&r);
    assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.flags = TSMBR_SHARED_ONLY}), 0);
    assert_non_null(tsmbr_allocate(&r, 10, 2));
    tsmbr_destroy(&r);
}

static void bad_alignments_are_refused(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    const size_t top = (size_t)1 << (sizeof(size_t) * 8 - 1);
    const size_t bad[] = {0, 3, 5, 6, 7, 12, 24, 1000, SIZE_MAX, SIZE_MAX - 1, top + 1, top - 1, top | (top >> 1)};
    /* Once on a fresh resource, once on one in use. */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            size_t calls = w.calls;
            errno = 0;
            assert_null(tsmbr_allocate(&r, 8, bad[i]));
            assert_int_equal(errno, EINVAL);
            errno = 0;
            assert_null(tsmbr_try_allocate(&r, 0, bad[i]));
            assert_int_equal(errno, 0);
            errno = 0;
            assert_null(tsmbr_allocate_array(&r, SIZE_MAX, 2, bad[i]));
            assert_int_equal(errno, EINVAL);
            errno = 0;
            assert_null(tsmbr_reallocate(&r, NULL, 0, 8, bad[i]));
            assert_int_equal(errno, EINVAL);
            assert_int_equal(w.calls, calls);
        }
        assert_non_null(tsmbr_allocate(&r, 8, 8));
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Sizes no object can have: refused without asking the upstream, nothing changed.
 * Others' faults: APR CVE-2009-2412, protobuf 761, upb 27568. */
static void sizes_near_the_top_are_refused(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    char buffer[3000];
    tsmbr_resource resources[2];
    make(&resources[0], &w, (tsmbr_config){0});
    make(&resources[1], &w, (tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer});
    for (size_t i = 0; i < 2; i++) {
        tsmbr_resource *r = &resources[i];
        assert_non_null(tsmbr_allocate(r, 10, 1));
        tsmbr_statistics before, after;
        tsmbr_get_statistics(r, &before);
        size_t calls = w.calls;
        for (size_t alignment = 1; alignment != 0; alignment *= 2)
            for (size_t k = 0; k < 200; k++) {
                errno = 0;
                assert_null(tsmbr_allocate(r, SIZE_MAX - k, alignment));
                assert_int_equal(errno, ENOMEM);
                assert_null(tsmbr_allocate(r, (size_t)PTRDIFF_MAX - k / 2, alignment));
                errno = 0;
                assert_null(tsmbr_try_allocate(r, SIZE_MAX - k, alignment));
                assert_int_equal(errno, 0);
            }
        errno = 0;
        volatile size_t top = (size_t)1 << (sizeof(size_t) * 8 - 1); /* no constant: compilers warn */
        assert_null(tsmbr_allocate(r, 1, top));
        assert_int_equal(errno, ENOMEM);
        assert_int_equal(w.calls, calls);
        tsmbr_get_statistics(r, &after);
        assert_memory_equal(&before, &after, sizeof before);
        char *p = tsmbr_allocate(r, 10, 1);
        assert_non_null(p);
        memset(p, 1, 10);
        tsmbr_destroy(r);
    }
    watch_close(&w);
}

/* Others' fault: microsoft/STL 2609 and many more. */
static void zero_bytes_get_an_address_of_their_own(void **state)
{
    (void)state;
    tsmbr_resource r;
    make(&r, NULL, (tsmbr_config){0});
    char *previous = NULL;
    for (int i = 0; i < 5000; i++) {
        char *p = tsmbr_allocate(&r, 0, 1);
        assert_non_null(p);
        assert_ptr_not_equal(p, previous);
        previous = p;
    }
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    assert_true(s.allocated_bytes >= 5000);
    tsmbr_destroy(&r);
}

/* By address, not by offset: a chunk's base may be anywhere. */
static void every_alignment_on_every_base(void **state)
{
    (void)state;
    for (size_t misalign = 0; misalign < 20; misalign += misalign < 4 ? 1 : 5) {
        watch w;
        watch_open(&w);
        w.misalign = misalign;
        tsmbr_resource r;
        make(&r, &w, (tsmbr_config){0});
        for (int round = 0; round < 3; round++)
            for (size_t alignment = 1; alignment <= (size_t)1 << 20; alignment *= 2) {
                char *p = tsmbr_allocate(&r, 3, alignment);
                assert_true(aligned(p, alignment));
                memset(p, 1, 3);
                p = tsmbr_allocate(&r, alignment + 1, alignment);
                assert_true(aligned(p, alignment));
                memset(p, 2, alignment + 1);
            }
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

static void a_gigabyte_of_alignment(void **state)
{
    (void)state;
    const size_t huge = sizeof(void *) < 8 ? (size_t)1 << 28 : (size_t)1 << 30; /* 32 bits have no room for more */
    tsmbr_resource r;
    make(&r, NULL, (tsmbr_config){0});
    for (int i = 0; i < 2; i++) {
        char *p = tsmbr_allocate(&r, 100, huge);
        assert_non_null(p);
        assert_true(aligned(p, huge));
        memset(p, 1, 100);
    }
    assert_non_null(tsmbr_allocate(&r, 100, 8));
    tsmbr_destroy(&r);
}

static void the_buffer_is_served_to_the_last_byte(void **state)
{
    (void)state;
    _Alignas(64) static unsigned char storage[600];
    for (size_t shift = 0; shift < 3; shift++)
        for (size_t size = 1; size < 500; size = size * 2 + shift) {
            unsigned char *buffer = storage + 17 + shift;
            memset(storage, 0xEE, sizeof storage);
            watch w;
            watch_open(&w);
            tsmbr_resource r;
            make(&r, &w, (tsmbr_config){.buffer = buffer, .buffer_size = size});
            for (size_t i = 0; i < size; i++) {
                unsigned char *p = tsmbr_allocate(&r, 1, 1);
                assert_ptr_equal(p, buffer + i);
                *p = 0;
            }
            assert_int_equal(w.calls, 0);
            unsigned char *beyond = tsmbr_allocate(&r, 1, 1);
            assert_non_null(beyond);
            assert_true(beyond < storage || beyond >= storage + sizeof storage);
            assert_int_equal(w.calls, 1);
            /* Not a byte of bookkeeping around it. */
            for (size_t i = 0; i < sizeof storage; i++)
                assert_int_equal(storage[i], storage + i >= buffer && storage + i < buffer + size ? 0 : 0xEE);
            tsmbr_destroy(&r);
            watch_close(&w);
        }
}

static void a_buffer_and_nothing_more(void **state)
{
    (void)state;
    char buffer[64];
    tsmbr_resource r;
    make(&r, NULL,
         (tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = buffer, .buffer_size = sizeof buffer});
    assert_ptr_equal(tsmbr_allocate(&r, 64, 1), buffer);
    errno = 0;
    assert_null(tsmbr_allocate(&r, 0, 1));
    assert_int_equal(errno, ENOMEM);
    tsmbr_release(&r);
    assert_null(tsmbr_allocate(&r, 65, 1));
    assert_ptr_equal(tsmbr_allocate(&r, 64, 1), buffer);
    tsmbr_destroy(&r);
    /* A buffer without size is no buffer. */
    make(&r, NULL, (tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = buffer});
    assert_null(tsmbr_allocate(&r, 1, 1));
    tsmbr_destroy(&r);
}

static void the_first_chunk_serves_initial_size(void **state)
{
    (void)state;
    for (size_t initial = 1; initial < 3000000; initial = initial * 3 + 1) {
        watch w;
        watch_open(&w);
        w.misalign = initial % 16;
        tsmbr_resource r;
        make(&r, &w, (tsmbr_config){.initial_size = initial});
        /* In one piece, and in small ones. */
        assert_non_null(tsmbr_allocate(&r, initial, 1));
        assert_int_equal(w.calls, 1);
        tsmbr_release(&r);
        for (size_t i = 0; i < initial; i += i < initial - i ? i + 1 : initial - i)
            assert_non_null(tsmbr_allocate(&r, i < initial - i ? i + 1 : initial - i, 1));
        assert_int_equal(w.calls, 2);
        assert_int_equal(w.peak, w.last_bytes);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

/* A hint no upstream can grant costs nothing but the hint. */
static void an_impossible_initial_size_is_forgotten(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        watch w;
        watch_open(&w);
        w.refuse_above = 1 << 20;
        tsmbr_resource r;
        make(&r, &w, (tsmbr_config){.initial_size = SIZE_MAX >> k});
        for (int i = 0; i < 10; i++) {
            char *p = tsmbr_allocate(&r, 100, 8);
            assert_non_null(p);
            memset(p, 1, 100);
        }
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

static void growth_is_geometric(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    size_t largest = 0;
    for (size_t total = 0; total < (size_t)100 << 20; total += 100) {
        size_t calls = w.calls;
        assert_non_null(tsmbr_allocate(&r, 100, 4));
        if (w.calls != calls) {
            assert_true(w.last_bytes >= largest && w.last_bytes <= (size_t)16 << 20);
            largest = w.last_bytes;
        }
    }
    /* 2 KiB doubled to 16 MiB is 13 chunks; 100 MiB of them six or seven more. */
    assert_true(w.calls >= 15 && w.calls <= 22);
    assert_int_equal(largest, (size_t)16 << 20);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Requests of one size, whatever it is, ask the upstream a logarithmic number of times. */
static void growth_follows_large_requests_too(void **state)
{
    (void)state;
    const size_t sizes[] = {600, 3000, 4096, 5000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        watch w;
        watch_open(&w);
        tsmbr_resource r;
        make(&r, &w, (tsmbr_config){0});
        for (int n = 0; n < 2000 && w.held < ((size_t)8 << 20); n++)
            assert_non_null(tsmbr_allocate(&r, sizes[i], 8));
        assert_true(w.calls < 40);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

static void the_first_chunk_is_as_large_as_the_buffer(void **state)
{
    (void)state;
    static char buffer[100000];
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer});
    while (w.calls == 0)
        assert_non_null(tsmbr_allocate(&r, 100, 1));
    assert_int_equal(w.last_bytes, sizeof buffer);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Room is what one chunk has, not what several have together. Others' fault: grpc 16396. */
static void room_is_counted_in_one_chunk(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    char buffer[1000];
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer, .initial_size = 10000});
    assert_non_null(tsmbr_allocate(&r, 600, 1));  /* leaves 400 in the buffer */
    assert_non_null(tsmbr_allocate(&r, 2000, 1)); /* leaves about 8000 in the first chunk */
    assert_int_equal(w.calls, 1);
    char *p = tsmbr_allocate(&r, 8300, 1);
    assert_non_null(p);
    memset(p, 1, 8300);
    assert_int_equal(w.calls, 2);
    assert_true(watch_granted(&w, p, 8300));
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* Before a refusal every chunk that is held is tried, so that no byte that could serve stays behind. */
static void a_refusal_means_that_nothing_held_has_room(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    char buffer[1000];
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer, .initial_size = 4000});
    assert_non_null(tsmbr_allocate(&r, 900, 1)); /* leaves 100 in the buffer */
    assert_non_null(tsmbr_allocate(&r, 500, 1));
    assert_non_null(tsmbr_allocate(&r, 4000, 4096)); /* leaves up to 4095 in a chunk of its own */
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    assert_true(s.wasted_bytes > 100);
    w.fail_every = 1;
    char *last = NULL, *p = NULL;
    while ((p = tsmbr_allocate(&r, 1, 1)) != NULL)
        last = p;
    assert_non_null(last);
    tsmbr_get_statistics(&r, &s);
    assert_int_equal(s.wasted_bytes, 0);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* One huge request does not make the chunks of all small ones after it huge: LoadWeight. */
static void a_huge_request_does_not_inflate_growth(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    assert_non_null(tsmbr_allocate(&r, 100, 8));
    assert_non_null(tsmbr_allocate(&r, (size_t)100 << 20, 8));
    size_t calls = w.calls;
    while (w.calls == calls)
        assert_non_null(tsmbr_allocate(&r, 100, 8));
    assert_true(w.last_bytes <= 4096);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void small_stays_small(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    for (int i = 0; i < 64; i++)
        assert_non_null(tsmbr_allocate(&r, 16, 8));
    assert_true(w.held <= 4096);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* A large request leaves the current chunk's room to others. */
static void a_large_request_keeps_the_current_chunk(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    char buffer[1000];
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer});
    assert_ptr_equal(tsmbr_allocate(&r, 10, 1), buffer);
    for (size_t i = 0; i < 10; i++) {
        char *large = tsmbr_allocate(&r, (size_t)100000 << i, 16);
        assert_true(aligned(large, 16));
        memset(large, 1, (size_t)100000 << i);
        assert_int_equal(w.live, i + 1);
        /* The chunk of its own is no larger than it must be. */
        assert_true(w.last_bytes < ((size_t)100000 << i) + 200);
        assert_ptr_equal(tsmbr_allocate(&r, 10, 1), buffer + 10 + 10 * i);
    }
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    assert_int_equal(s.chunks, 10);
    assert_true(s.wasted_bytes < 10 * 200);
    tsmbr_destroy(&r);

    /* Large is what would take more than a quarter of the next chunk. */
    make(&r, &w, (tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer, .initial_size = 100000});
    assert_ptr_equal(tsmbr_allocate(&r, 10, 1), buffer);
    assert_non_null(tsmbr_allocate(&r, 26000, 1));
    assert_ptr_equal(tsmbr_allocate(&r, 10, 1), buffer + 10);
    assert_non_null(tsmbr_allocate(&r, 24000, 1));
    assert_ptr_not_equal(tsmbr_allocate(&r, 10, 1), buffer + 20);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* A fresh chunk holds its over-aligned block wherever it lies. Elsewhere the padding was that of the buffer just
 * left (boost/container 151), or the new chunk's size had none in it (boost/json 1191), or the header before the
 * block was not rounded up to its alignment (folly 936b75c7b). */
static void over_alignment_in_a_fresh_chunk(void **state)
{
    (void)state;
    for (size_t alignment = 32; alignment <= 65536; alignment *= 2)
        for (size_t bytes = 1; bytes <= 65536; bytes *= 4)
            for (size_t used = 0; used < 40; used += 13) {
                watch w;
                watch_open(&w);
                char buffer[40];
                tsmbr_resource r;
                make(&r, &w,
                     (tsmbr_config){.initial_size = bytes, .buffer = buffer, .buffer_size = sizeof buffer});
                if (used != 0)
                    assert_non_null(tsmbr_allocate(&r, used, 1));
                char *p = tsmbr_allocate(&r, bytes, alignment);
                assert_true(aligned(p, alignment));
                memset(p, 1, bytes);
                tsmbr_destroy(&r); /* the record behind p is intact, or this goes wrong */
                watch_close(&w);
            }
}

static void the_upstream_refuses_then_grants(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    w.refuse_above = 1000;
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    /* The first chunk of 2 KiB is refused, just enough is granted. */
    char *p = tsmbr_allocate(&r, 100, 8);
    assert_non_null(p);
    memset(p, 1, 100);
    assert_int_equal(w.calls, 2);
    errno = 0;
    assert_null(tsmbr_allocate(&r, 1000, 8));
    assert_int_equal(errno, ENOMEM);
    assert_non_null(tsmbr_allocate(&r, 500, 8));
    w.refuse_above = 0;
    assert_non_null(tsmbr_allocate(&r, 1000, 8));
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void *grant_the_end_of_the_world(void *context, size_t bytes, size_t alignment)
{
    (void)bytes;
    (void)alignment;
    ++*(int *)context;
    return (void *)(SIZE_MAX - 100); // NOLINT: an address the upstream has no right to
}

static void take_back(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)bytes;
    (void)alignment;
    assert_true(ptr == (void *)(SIZE_MAX - 100)); // NOLINT
    --*(int *)context;
}

static void memory_that_wraps_is_returned(void **state)
{
    (void)state;
    int out = 0;
    tsmbr_upstream bad = {grant_the_end_of_the_world, take_back, &out};
    tsmbr_resource r;
    assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = &bad}), 0);
    errno = 0;
    assert_null(tsmbr_allocate(&r, 10, 1));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(out, 0);
    tsmbr_destroy(&r);
}

static void try_allocate_never_goes_upstream(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    errno = 0;
    assert_null(tsmbr_try_allocate(&r, 1, 1));
    assert_int_equal(errno, 0);
    assert_non_null(tsmbr_allocate(&r, 1, 1));
    size_t served = 0;
    while (tsmbr_try_allocate(&r, 16, 8) != NULL)
        served++;
    assert_in_range(served, 110, 128); /* the rest of 2 KiB */
    assert_int_equal(w.calls, 1);
    assert_null(tsmbr_allocate_from(&r, 16, 8, NULL));
    assert_int_equal(w.calls, 1);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void allocate_from_uses_the_given_upstream(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    tsmbr_upstream other = {w.upstream.allocate, w.upstream.deallocate, &w};
    tsmbr_upstream refuses = *tsmbr_null_upstream();
    assert_null(tsmbr_allocate_from(&r, 100, 8, &refuses));
    assert_int_equal(w.calls, 0);
    assert_non_null(tsmbr_allocate_from(&r, 100, 8, &other));
    assert_int_equal(w.calls, 1);
    tsmbr_destroy(&r);
    watch_close(&w);
}

typedef struct told {
    size_t calls;
    size_t bytes;
    size_t alignment;
} told;

static void *note_what_is_asked(void *context, size_t bytes, size_t alignment)
{
    told *t = context;
    *t = (told){t->calls + 1, bytes, alignment};
    return context;
}

/* What there is no room for, and what is no request: the fallback says what comes of it, and errno is its own. */
static void the_fallback_is_called_where_nothing_held_serves(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    told t = {0};
    tsmbr_wrapped wrapped = {.otherwise = note_what_is_asked, .context = &t};
    tsmbr_resource *r = &wrapped.resource;
    make(r, &w, (tsmbr_config){0});
    errno = EDOM;
    assert_ptr_equal(tsmbr_allocate_or_call(&wrapped, 100, 8), &t);
    assert_true(t.calls == 1 && t.bytes == 100 && t.alignment == 8);
    assert_int_equal(w.calls, 0);
    assert_int_equal(tsmbr_reserve(r, 1000), 0);
    char *p = tsmbr_allocate_or_call(&wrapped, 100, 8);
    assert_true(aligned(p, 8) && watch_granted(&w, p, 100));
    assert_int_equal(t.calls, 1);
    assert_ptr_equal(tsmbr_allocate_or_call(&wrapped, 100000, 16), &t);
    assert_true(t.calls == 2 && t.bytes == 100000 && t.alignment == 16);
    volatile size_t none = 3; /* a compiler would warn */
    assert_ptr_equal(tsmbr_allocate_or_call(&wrapped, 1, none), &t);
    assert_true(t.calls == 3 && t.bytes == 1 && t.alignment == 3);
    assert_int_equal(w.calls, 1);
    assert_int_equal(errno, EDOM);
    tsmbr_destroy(r);
    watch_close(&w);
}

static void errno_survives_success(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    w.refuse_above = 1000;
    tsmbr_resource r;
    make(&r, &w, (tsmbr_config){0});
    for (int i = 0; i < 100; i++) {
        errno = 1234;
        assert_non_null(tsmbr_allocate(&r, 50, 8));
        assert_int_equal(errno, 1234);
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void deallocate_does_nothing(void **state)
{
    (void)state;
    tsmbr_resource r;
    make(&r, NULL, (tsmbr_config){0});
    tsmbr_statistics before, after;
    char *p = tsmbr_allocate(&r, 100, 8);
    memset(p, 7, 100);
    tsmbr_get_statistics(&r, &before);
    tsmbr_deallocate(&r, p, 100, 8);
    tsmbr_deallocate(&r, NULL, 0, 1);
    tsmbr_get_statistics(&r, &after);
    assert_memory_equal(&before, &after, sizeof before);
#ifndef TSMBR_TOOLS /* for a tool the block has ended */
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 7);
#endif
    tsmbr_destroy(&r);
}

static void typed_macros(void **state)
{
    (void)state;
    struct point {
        char tag;
        double x;
    };
    tsmbr_resource r;
    make(&r, NULL, (tsmbr_config){0});
    assert_non_null(tsmbr_new(&r, char));
    struct point *one = tsmbr_new(&r, struct point);
    assert_true(aligned(one, _Alignof(struct point)));
    one->x = 1.5;
    struct point *many = tsmbr_new_array(&r, struct point, 100);
    assert_true(aligned(many, _Alignof(struct point)));
    for (int i = 0; i < 100; i++)
        many[i].x = i;
    assert_true(one->x > 1.4 && one->x < 1.6);
    errno = 0;
    assert_null(tsmbr_new_array(&r, struct point, SIZE_MAX / sizeof(struct point) + 1));
    assert_int_equal(errno, ENOMEM);
    tsmbr_destroy(&r);
    assert_int_equal(tsmbr_version(), TSMBR_VERSION);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", TSMBR_VERSION / 10000, TSMBR_VERSION / 100 % 100,
             TSMBR_VERSION % 100);
    assert_string_equal(version, TSMBR_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_bytes_are_a_default_resource),
        cmocka_unit_test(init_asks_the_upstream_for_nothing),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(bad_alignments_are_refused),
        cmocka_unit_test(sizes_near_the_top_are_refused),
        cmocka_unit_test(zero_bytes_get_an_address_of_their_own),
        cmocka_unit_test(every_alignment_on_every_base),
        cmocka_unit_test(a_gigabyte_of_alignment),
        cmocka_unit_test(the_buffer_is_served_to_the_last_byte),
        cmocka_unit_test(a_buffer_and_nothing_more),
        cmocka_unit_test(the_first_chunk_serves_initial_size),
        cmocka_unit_test(an_impossible_initial_size_is_forgotten),
        cmocka_unit_test(growth_is_geometric),
        cmocka_unit_test(growth_follows_large_requests_too),
        cmocka_unit_test(the_first_chunk_is_as_large_as_the_buffer),
        cmocka_unit_test(room_is_counted_in_one_chunk),
        cmocka_unit_test(a_refusal_means_that_nothing_held_has_room),
        cmocka_unit_test(a_huge_request_does_not_inflate_growth),
        cmocka_unit_test(small_stays_small),
        cmocka_unit_test(a_large_request_keeps_the_current_chunk),
        cmocka_unit_test(over_alignment_in_a_fresh_chunk),
        cmocka_unit_test(the_upstream_refuses_then_grants),
        cmocka_unit_test(memory_that_wraps_is_returned),
        cmocka_unit_test(try_allocate_never_goes_upstream),
        cmocka_unit_test(allocate_from_uses_the_given_upstream),
        cmocka_unit_test(the_fallback_is_called_where_nothing_held_serves),
        cmocka_unit_test(errno_survives_success),
        cmocka_unit_test(deallocate_does_nothing),
        cmocka_unit_test(typed_macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
