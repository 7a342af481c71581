/* The limit with one thread: exact, and used to the end. */
#include "support.h"

#include <errno.h>
#include <string.h>
#if !defined(_WIN32)
#include <unistd.h>
#endif

static void never_exceeded_and_used_up(void **state)
{
    (void)state;
    const size_t limits[] = {1, 100, 127, 128, 200, 1000, 2047, 2048, 2049, 10000, 100000, 1000000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (size_t bytes = 1; bytes <= 3000; bytes = bytes * 3 + 1) {
            watch w;
            watch_open(&w);
            tsmbr_resource r;
            tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = limits[i]});
            size_t served = 0;
            errno = 0;
            while (served <= limits[i] && tsmbr_allocate(&r, bytes, 1) != NULL)
                served += bytes;
            assert_true(served <= limits[i]);
            assert_int_equal(errno, ENOMEM);
            assert_true(w.peak <= limits[i]);
            tsmbr_statistics s;
            tsmbr_get_statistics(&r, &s);
            assert_true(s.peak_reserved_bytes <= limits[i]);
            assert_int_equal(s.reserved_bytes, w.held);
            /* What is left would not have held another chunk for this request. */
            assert_true(limits[i] - w.held < bytes + 127);
            /* A refusal asks the upstream for nothing. */
            size_t calls = w.calls;
            assert_null(tsmbr_allocate(&r, bytes, 1));
            assert_int_equal(w.calls, calls);
            /* Room for smaller ones is served still. */
            if (limits[i] - w.held >= 128)
                assert_non_null(tsmbr_allocate(&r, 1, 1));
            /* And all of it again after release. */
            tsmbr_release(&r);
            assert_int_equal(w.held, 0);
            size_t again = 0;
            while (again <= limits[i] && tsmbr_allocate(&r, bytes, 1) != NULL)
                again += bytes;
            assert_int_equal(again, served);
            tsmbr_destroy(&r);
            watch_close(&w);
        }
}

/* Small blocks under a limit get most of it: chunks shrink to what is left, records are few. */
static void the_limit_goes_to_blocks(void **state)
{
    (void)state;
    for (size_t limit = 4096; limit <= (size_t)64 << 20; limit *= 4) {
        watch w;
        watch_open(&w);
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = limit});
        size_t served = 0;
        while (served <= limit && tsmbr_allocate(&r, 64, 8) != NULL)
            served += 64;
        assert_true(served >= limit / 100 * 80);
        assert_true(w.peak <= limit);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

static void the_buffer_does_not_count(void **state)
{
    (void)state;
    char buffer[5000];
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){
                       .upstream = &w.upstream, .buffer = buffer, .buffer_size = sizeof buffer, .limit = 1000});
    assert_ptr_equal(tsmbr_allocate(&r, 5000, 1), buffer);
    assert_non_null(tsmbr_allocate(&r, 500, 1));
    assert_null(tsmbr_allocate(&r, 1000, 1));
    assert_true(w.peak <= 1000);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void kept_chunks_count(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = 100000});
    for (int round = 0; round < 20; round++) {
        size_t served = 0;
        while (served <= 100000 && tsmbr_allocate(&r, 100, 4) != NULL)
            served += 100;
        assert_true(served > 80000);
        assert_true(w.held <= 100000);
        tsmbr_reset(&r, round % 3 == 2 ? 20000 : SIZE_MAX);
    }
    assert_true(w.peak <= 100000);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* An upstream in the middle of requests that are too large for it: others are not affected. */
static tsmbr_resource *busy;
static size_t depth;
static void *inner;

static void *allocate_busily(void *context, size_t bytes, size_t alignment)
{
    if (bytes < 1000000)
        return tsmbr_malloc_upstream()->allocate(context, bytes, alignment);
    if (++depth < 4)
        assert_null(tsmbr_allocate(busy, (size_t)PTRDIFF_MAX - 1000, 1));
    else
        inner = tsmbr_allocate(busy, 100, 8);
    return NULL;
}

static void without_a_limit_nothing_in_flight_counts(void **state)
{
    (void)state;
    const tsmbr_upstream upstream = {allocate_busily, tsmbr_malloc_upstream()->deallocate, NULL};
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &upstream});
    busy = &r;
    assert_null(tsmbr_allocate(&r, (size_t)PTRDIFF_MAX - 1000, 1));
    assert_true(depth >= 4);
    assert_non_null(inner);
    tsmbr_statistics s;
    tsmbr_get_statistics(&r, &s);
    assert_true(s.reserved_bytes < 10000 && s.peak_reserved_bytes < 10000);
    tsmbr_destroy(&r);
}

/* A thread that is stuck in the upstream stops nobody: who meets its reserved bytes looks again a
 * bounded number of times. Here the stuck thread is this one, so that unbounded would be forever. */
static void *allocate_while_stuck(void *context, size_t bytes, size_t alignment)
{
    size_t *refused = context;
    if (depth++ == 0) {
        for (int i = 0; i < 3; i++) {
            inner = tsmbr_allocate(busy, 100, 8);
            *refused += inner == NULL;
        }
    }
    return tsmbr_malloc_upstream()->allocate(NULL, bytes, alignment);
}

static void a_stuck_thread_stops_nobody(void **state)
{
    (void)state;
    const size_t limits[] = {0, 100000, 2000, 300};
    for (size_t i = 0; i < 4; i++) {
        size_t refused = 0;
        const tsmbr_upstream upstream = {allocate_while_stuck, tsmbr_malloc_upstream()->deallocate, &refused};
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &upstream, .limit = limits[i]});
        busy = &r;
        depth = 0;
        void *outer = tsmbr_allocate(&r, 100, 8);
        assert_non_null(outer);
        assert_ptr_not_equal(outer, inner);
        assert_int_equal(refused, limits[i] == 300 ? 3 : 0); /* 300 bytes hold one chunk for 100 */
        tsmbr_destroy(&r);
    }
}

static void what_the_upstream_refuses_does_not_count(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    w.fail_every = 1;
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = 100000});
    for (int i = 0; i < 1000; i++)
        assert_null(tsmbr_allocate(&r, 1000, 8));
    w.fail_every = 0;
    size_t served = 0;
    while (served <= 100000 && tsmbr_allocate(&r, 1000, 8) != NULL)
        served += 1000;
    assert_in_range(served, 80000, 100000);
    tsmbr_destroy(&r);
    watch_close(&w);
}

int main(void)
{
#if !defined(_WIN32)
    alarm(20); /* waiting without bound is a failure, not a hang */
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_exceeded_and_used_up),
        cmocka_unit_test(the_limit_goes_to_blocks),
        cmocka_unit_test(the_buffer_does_not_count),
        cmocka_unit_test(kept_chunks_count),
        cmocka_unit_test(without_a_limit_nothing_in_flight_counts),
        cmocka_unit_test(a_stuck_thread_stops_nobody),
        cmocka_unit_test(what_the_upstream_refuses_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
