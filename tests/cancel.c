/* Threads cancelled while they are in the middle of calls. The library has no cancellation points, so a request
 * waits for the call's end, and nothing is lost. Asynchronous cancellation is not promised to work. */
#include "lane.h"
#include "resource.h"

#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------ a request that waits */

static void ignore(void *argument)
{
    (void)argument;
}

static void *nothing(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
    (void)alignment;
    return NULL;
}

typedef struct pending {
    const tsmbr_upstream *upstream;
    size_t served;
    size_t wrong;
    bool passed;
    bool point_taken;
} pending;

/* The calls that are made once in a life. */
static void call_once(pending *p, tsmbr_wrapped *w)
{
    tsmbr_resource *r = &w->resource;
    p->wrong += tsmbr_allocate(r, (size_t)3 << 20, 4096) == NULL;
    p->wrong += tsmbr_allocate(r, (size_t)300 << 20, 1) != NULL; /* beyond the limit */
    p->wrong += tsmbr_allocate_from(r, (size_t)1 << 20, 1, p->upstream) == NULL;
    p->wrong += tsmbr_allocate_or_call(w, (size_t)300 << 20, 1) != NULL;
    p->wrong += tsmbr_allocate_array(r, 1000, 30, 8) == NULL;
    p->wrong += tsmbr_printf(r, "%s", "all") == NULL || print_arguments(r, "%d of %s", 1, "all") == NULL;
    p->wrong += tsmbr_strdup(r, "text") == NULL || tsmbr_strndup(r, "text", 2) == NULL;
    p->wrong += tsmbr_memdup(r, "text", 4) == NULL || tsmbr_calloc(r, 3, 5) == NULL;
    p->wrong += tsmbr_on_release(r, ignore, NULL) != 0;
    p->wrong += tsmbr_upstream_resource(r) != p->upstream || tsmbr_version() != TSMBR_VERSION;
    tsmbr_statistics s;
    tsmbr_get_statistics(r, &s);
    p->wrong += s.reserved_bytes < (size_t)4 << 20;
}

/* Every call there is, with the request pending. The upstreams that come with the library are no cancellation
 * points either; what a caller's own calls is for the caller to answer. */
static void *call_everything(void *argument)
{
    pending *p = argument;
    (void)pthread_cancel(pthread_self());
    for (int shared_only = 0; shared_only < 2; shared_only++) {
        tsmbr_wrapped w = {.otherwise = nothing};
        tsmbr_resource *r = &w.resource;
        tsmbr_init(r, &(tsmbr_config){.upstream = p->upstream,
                                      .limit = (size_t)40 << 20,
                                      .flags = shared_only ? TSMBR_SHARED_ONLY : 0});
        for (int life = 0; life < 2; life++) {
            tsmbr_lane run;
            tsmbr_lane_open(&run, r);
            for (size_t i = 0; i < 3000; i++) {
                size_t bytes = 30 + i % 200;
                void *b = tsmbr_allocate(r, 10 + i % 300, 8);
                b = tsmbr_reallocate(r, b, 10 + i % 300, bytes, 8);
                p->wrong += !tsmbr_owns(r, b) || !tsmbr_try_resize(r, b, bytes, bytes - 20);
                p->wrong += tsmbr_lane_allocate(&run, 20, 4) == NULL;
                tsmbr_deallocate(r, b, bytes - 20, 8);
                /* From memory already held: at a chunk's end there is none. */
                p->served += tsmbr_try_allocate(r, 10, 1) != NULL;
                p->served += tsmbr_lane_try_allocate(&run, 20, 4) != NULL;
            }
            call_once(p, &w);
            tsmbr_lane_close(&run);
            if (life == 0)
                tsmbr_reset(r, SIZE_MAX);
            else
                tsmbr_release(r);
            p->wrong += tsmbr_reserve(r, 100000) != 0;
        }
        tsmbr_destroy(r);
    }
    p->passed = true;
    pthread_testcancel();
    p->point_taken = true;
    return NULL;
}

static void no_call_is_a_cancellation_point(void **state)
{
    (void)state;
    enum { UPSTREAMS = 4 };
    const tsmbr_upstream *upstreams[UPSTREAMS] = {tsmbr_malloc_upstream(), tsmbr_system_upstream(),
                                                  tsmbr_prefault_upstream(), tsmbr_guarded_upstream()};
    for (size_t i = 0; i < UPSTREAMS; i++) {
        pending p = {.upstream = upstreams[i]};
        pthread_t thread;
        void *result = NULL;
        assert_int_equal(pthread_create(&thread, NULL, call_everything, &p), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, PTHREAD_CANCELED);
        assert_true(p.passed);
        assert_false(p.point_taken);
        assert_int_equal(p.wrong, 0);
        assert_true(p.served > 20000);
    }
}

/* --------------------------------------------------------------------------- requests at any time */

enum { AT_ONCE = 8, HELD_UP = 4 /* of these */, LOG = 400, LIMIT = 4 << 20, LARGE = 20000 };

typedef struct victim {
    pthread_t thread;
    dice d;
    block log[LOG];
    size_t count;
    atomic_size_t passages; /* into calls that take a block, and out of them: odd in one */
    bool held_up;           /* in the upstream, until its request has come */
    atomic_bool in_upstream;
    bool cleaned_up, destroyed;
} victim;

static struct {
    watch w, w_large;
    tsmbr_upstream slow, holding;
    tsmbr_resource r, large;
    victim victims[AT_ONCE];
    pthread_key_t key;
    atomic_size_t started;
    atomic_bool requested; /* of all that are held up */
    atomic_size_t faults;
    atomic_uint highest; /* slot */
} stage;

/* Gives the processor away in the middle, so that a request comes then. */
static void *slow_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    sched_yield();
    void *p = stage.w.upstream.allocate(&stage.w, bytes, alignment);
    sched_yield();
    return p;
}

static void slow_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    sched_yield();
    stage.w.upstream.deallocate(&stage.w, ptr, bytes, alignment);
}

/* Has the chunk, and lets its thread go with it only when the request has come. */
static void *holding_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    void *p = stage.w_large.upstream.allocate(&stage.w_large, bytes, alignment);
    victim *v = pthread_getspecific(stage.key);
    v->in_upstream = true;
    while (!stage.requested)
        sched_yield();
    return p;
}

static void holding_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    stage.w_large.upstream.deallocate(&stage.w_large, ptr, bytes, alignment);
}

static void victim_take(victim *v, tsmbr_resource *r, size_t bytes)
{
    v->passages++;
    void *p = tsmbr_allocate(r, bytes, 1);
    v->passages++;
    if (p == NULL || v->count == LOG) {
        stage.faults += p == NULL;
        return;
    }
    v->log[v->count] = (block){p, bytes, dice_roll(&v->d)};
    pattern_write(&v->log[v->count++]);
}

/* Calls that take nothing for good, as the log is full. */
static void victim_go_on(victim *v)
{
    const block *last = &v->log[v->count - 1];
    if (tsmbr_try_resize(&stage.r, last->ptr, last->bytes, last->bytes + 8))
        (void)tsmbr_try_resize(&stage.r, last->ptr, last->bytes + 8, last->bytes);
    sched_yield();
}

static void victim_cleanup(void *argument)
{
    victim *v = argument;
    victim_take(v, &stage.r, 100);
    v->cleaned_up = true;
}

static void victim_destroy(void *argument)
{
    victim *v = argument;
    victim_take(v, &stage.r, 100);
    v->destroyed = true;
}

static void *victim_main(void *argument)
{
    victim *v = argument;
    (void)pthread_setspecific(stage.key, v);
    pthread_cleanup_push(victim_cleanup, v);
    stage.started++;
    for (;;) {
        if (v->held_up && dice_below(&v->d, 50) == 0) {
            victim_take(v, &stage.large, LARGE);
            pthread_testcancel();
            stage.faults++;
        } else if (v->count + 3 < LOG) {
            victim_take(v, &stage.r, dice_below(&v->d, 40) == 0 ? 3000 : 1 + dice_below(&v->d, 100));
            unsigned slot = tsmbr_thread.group != 0 ? tsmbr_thread.slot : 0, seen = stage.highest;
            while (slot > seen && !atomic_compare_exchange_weak(&stage.highest, &seen, slot))
                ;
        } else {
            victim_go_on(v);
        }
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return NULL;
}

/* Whether a request came in a call, as `passages` were before it and after it. */
static bool met(size_t before, const atomic_size_t *passages)
{
    return before % 2 == 1 && *passages == before;
}

/* Whether it met the thread in a call. */
static bool cancel(victim *v, dice *d)
{
    if (v->held_up)
        while (!v->in_upstream)
            sched_yield();
    else
        for (size_t k = dice_below(d, 10); k-- > 0;)
            sched_yield();
    size_t before = v->passages;
    assert_int_equal(pthread_cancel(v->thread), 0);
    return met(before, &v->passages);
}

/* At rest: chunks are in a list or back, nothing is reserved for one that is not. */
static void assert_settled(const tsmbr_resource *self, const watch *w)
{
    const resource *r = resource_of_const(self);
    assert_int_equal(reserved_load_relaxed(r), w->held);
    assert_int_equal(published_load_relaxed(r), w->held);
    tsmbr_statistics s;
    tsmbr_get_statistics(self, &s);
    assert_int_equal(s.reserved_bytes, w->held);
    assert_int_equal(s.chunks, w->live);
}

static void cancelled_threads_leave_nothing_behind(void **state)
{
    (void)state;
    watch_open(&stage.w);
    stage.slow = (tsmbr_upstream){slow_allocate, slow_deallocate, NULL};
    assert_int_equal(pthread_key_create(&stage.key, victim_destroy), 0);
    tsmbr_init(&stage.r, &(tsmbr_config){.upstream = &stage.slow, .limit = LIMIT});
    watch_open(&stage.w_large);
    stage.holding = (tsmbr_upstream){holding_allocate, holding_deallocate, NULL};
    tsmbr_init(&stage.large, &(tsmbr_config){.upstream = &stage.holding, .limit = LIMIT});
    dice d = dice_make(run_seed(), 1000);
    size_t rounds = rounds_for(400), blocks_taken = 0, inside = 0;
    for (size_t round = 0; round < rounds; round++) {
        stage.started = 0;
        stage.requested = false;
        for (size_t i = 0; i < AT_ONCE; i++) {
            victim *v = &stage.victims[i];
            *v = (victim){.d = dice_make(run_seed(), round * AT_ONCE + i), .held_up = i % 2 == 0};
            assert_int_equal(pthread_create(&v->thread, NULL, victim_main, v), 0);
        }
        /* Before that a request would find a thread that has nothing to clean up. */
        while (stage.started != AT_ONCE)
            sched_yield();
        for (size_t i = 0; i < AT_ONCE; i++)
            inside += cancel(&stage.victims[i], &d);
        stage.requested = true;
        blocks all = {0};
        for (size_t i = 0; i < AT_ONCE; i++) {
            victim *v = &stage.victims[i];
            void *result = NULL;
            assert_int_equal(pthread_join(v->thread, &result), 0);
            assert_ptr_equal(result, PTHREAD_CANCELED);
            assert_true(v->cleaned_up && v->destroyed);
            blocks_taken += v->count;
        }
        for (size_t i = 0; i < AT_ONCE; i++)
            for (size_t k = 0; k < stage.victims[i].count; k++) {
                const block *b = &stage.victims[i].log[k];
                assert_true(pattern_intact(b));
                blocks_add(&all, b->ptr, b->bytes, b->pattern);
            }
        assert_int_equal(blocks_check(&all), 0);
        blocks_free(&all);
        assert_settled(&stage.r, &stage.w);
        assert_settled(&stage.large, &stage.w_large);
        /* Those that were held up had each a chunk in hand. One became current; the others went back, and their
         * threads asked again. */
        assert_int_equal(stage.w_large.live, HELD_UP);
        assert_int_equal(stage.w_large.grants, (round + 1) * (2 * HELD_UP - 1));
        tsmbr_release(&stage.large);
        tsmbr_reset(&stage.r, round % 3 == 0 ? 0 : round % 3 == 1 ? 50000 : SIZE_MAX);
    }
    printf("%zu threads cancelled after %zu blocks, %zu in the middle of taking one\n", rounds * AT_ONCE,
           blocks_taken, inside);
    assert_int_equal(stage.faults, 0);
    assert_true(inside >= rounds * HELD_UP);
    /* Whoever was cancelled gave its slot back. */
    assert_true(stage.highest <= AT_ONCE);
    tsmbr_release(&stage.r);
    size_t served = 0;
    while (served <= LIMIT && tsmbr_allocate(&stage.r, 1000, 8) != NULL)
        served += 1000;
    assert_in_range(served, LIMIT / 10 * 8, LIMIT);
    tsmbr_destroy(&stage.large);
    tsmbr_destroy(&stage.r);
    (void)pthread_key_delete(stage.key);
    watch_close(&stage.w);
    watch_close(&stage.w_large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_is_a_cancellation_point),
        cmocka_unit_test(cancelled_threads_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
