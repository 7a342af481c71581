/* Fibers that move from thread to thread between calls: each uses the lanes of whatever thread it is on, and an
 * explicit lane that it carries along. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* MAP_ANONYMOUS, pthread_getattr_np */
#endif

#include "hook.h"

#include "lane.h"

#include "sanitizers.h"
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#if !defined(__GLIBC__) && !defined(_WIN32)
void hook(const char *step)
{
    (void)step;
}

int main(void)
{
    puts("fibers: this C library has no makecontext; nothing was tested");
    return 77; /* skipped */
}
#else
#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <ucontext.h>
#endif

/* The sanitizers want to be told whose stack it is. */
#if UNDER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if UNDER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

enum { THREADS = 4, FIBERS = 48, STACK = 256 << 10, TURNS = 300, LOG = 3 * TURNS };

/* A context and its stack. A thread's own is one, too. */
typedef struct strand {
#if defined(_WIN32)
    void *context;
#else
    ucontext_t context;
#endif
    void *stack;
    size_t stack_bytes;
    void *watched; /* what a sanitizer knows it by */
} strand;

typedef struct fiber {
    strand own;
    strand *thread; /* whose turn it is running in */
    struct fiber *next;
    dice d;
    tsmbr_lane lane;
    block log[LOG];
    size_t count;
    bool done;
} fiber;

static struct {
    tsmbr_resource r;
    fiber fibers[FIBERS];
    fiber *ready[THREADS]; /* to run next there */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t left;
    size_t moves;
    atomic_size_t refused;
    atomic_uint highest; /* slot */
} stage;

/* Now and then another thread gets the processor in the middle of a call. */
void hook(const char *step)
{
    (void)step;
    static _Thread_local uint32_t roll;
    roll = (roll != 0 ? roll : (uint32_t)(uintptr_t)&roll | 1) * 1664525u + 1013904223u;
    if (roll >> 27 == 0)
        (void)sched_yield();
}

static void strand_switch(strand *from, strand *to, bool last)
{
    (void)last;
#if UNDER_ASAN
    void *fake = NULL;
    __sanitizer_start_switch_fiber(last ? NULL : &fake, to->stack, to->stack_bytes);
#endif
#if UNDER_TSAN
    __tsan_switch_to_fiber(to->watched, 0);
#endif
#if defined(_WIN32)
    (void)from;
    SwitchToFiber(to->context);
#else
    (void)swapcontext(&from->context, &to->context);
#endif
#if UNDER_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static void fiber_note(fiber *f, void *ptr, size_t bytes)
{
    if (ptr == NULL) {
        stage.refused++;
        return;
    }
    f->log[f->count] = (block){ptr, bytes, dice_roll(&f->d)};
    pattern_write(&f->log[f->count++]);
}

/* Out of line: a thread's own words must be looked for anew after each switch. */
static __attribute__((noinline)) void fiber_turn(fiber *f)
{
    size_t bytes = 1 + dice_below(&f->d, 100), now = 1 + dice_below(&f->d, 150);
    void *p = tsmbr_allocate(&stage.r, bytes, 1);
    if (p != NULL && dice_below(&f->d, 4) == 0 && tsmbr_try_resize(&stage.r, p, bytes, now))
        bytes = now;
    fiber_note(f, p, bytes);
    fiber_note(f, tsmbr_lane_allocate(&f->lane, now, 8), now);
    if (dice_below(&f->d, 100) == 0)
        fiber_note(f, tsmbr_allocate(&stage.r, 5000, 64), 5000);
    unsigned slot = tsmbr_thread.group != 0 ? tsmbr_thread.slot : 0, seen = stage.highest;
    while (slot > seen && !atomic_compare_exchange_weak(&stage.highest, &seen, slot))
        ;
}

static void fiber_main(fiber *f)
{
#if UNDER_ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    for (int i = 0; i < TURNS; i++) {
        fiber_turn(f);
        strand_switch(&f->own, f->thread, false);
    }
    tsmbr_lane_close(&f->lane);
    f->done = true;
    strand_switch(&f->own, f->thread, true);
}

#if defined(_WIN32)
static void CALLBACK fiber_entry(void *f)
{
    fiber_main(f);
}
#else
static void fiber_entry(unsigned high, unsigned low)
{
    fiber_main((fiber *)(uintptr_t)((uint64_t)high << 32 | low));
}
#endif

static void ready_push(size_t thread, fiber *f)
{
    fiber **link = &stage.ready[thread];
    while (*link != NULL)
        link = &(*link)->next;
    f->next = NULL;
    *link = f;
}

/* After a turn a fiber goes to the next thread: each turn is on another one. */
static void run_fibers(void *argument, size_t index)
{
    (void)argument;
    strand self = {.stack = NULL};
#if defined(_WIN32)
    self.context = ConvertThreadToFiber(NULL);
#endif
#if UNDER_ASAN
    pthread_attr_t attributes;
    (void)pthread_getattr_np(pthread_self(), &attributes);
    (void)pthread_attr_getstack(&attributes, &self.stack, &self.stack_bytes);
    (void)pthread_attr_destroy(&attributes);
#endif
#if UNDER_TSAN
    self.watched = __tsan_get_current_fiber();
#endif
    pthread_mutex_lock(&stage.mutex);
    while (stage.left != 0) {
        fiber *f = stage.ready[index];
        if (f == NULL) {
            pthread_cond_wait(&stage.changed, &stage.mutex);
            continue;
        }
        stage.ready[index] = f->next;
        pthread_mutex_unlock(&stage.mutex);
        f->thread = &self;
        strand_switch(&self, &f->own, false);
        pthread_mutex_lock(&stage.mutex);
        if (f->done) {
            stage.left--;
        } else {
            stage.moves++;
            ready_push((index + 1) % THREADS, f);
        }
        pthread_cond_broadcast(&stage.changed);
    }
    pthread_mutex_unlock(&stage.mutex);
#if defined(_WIN32)
    (void)ConvertFiberToThread();
#endif
}

static void fiber_start(fiber *f, size_t index)
{
    f->count = 0;
    f->done = false;
    f->d = dice_make(run_seed(), index);
    tsmbr_lane_open(&f->lane, &stage.r);
    f->own.stack_bytes = STACK;
#if defined(_WIN32)
    f->own.context = CreateFiber(STACK, fiber_entry, f);
    assert_non_null(f->own.context);
#else
    f->own.stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(f->own.stack, MAP_FAILED);
    assert_int_equal(getcontext(&f->own.context), 0);
    f->own.context.uc_stack.ss_sp = f->own.stack;
    f->own.context.uc_stack.ss_size = STACK;
    f->own.context.uc_link = NULL;
    uint64_t bits = (uint64_t)(uintptr_t)f; /* makecontext passes ints only */
    makecontext(&f->own.context, (void (*)(void))fiber_entry, 2, (unsigned)(bits >> 32), (unsigned)bits);
#endif
#if UNDER_TSAN
    f->own.watched = __tsan_create_fiber(0);
#endif
    ready_push(index % THREADS, f);
}

static void fiber_end(fiber *f)
{
#if UNDER_TSAN
    __tsan_destroy_fiber(f->own.watched);
#endif
#if defined(_WIN32)
    DeleteFiber(f->own.context);
#else
    assert_int_equal(munmap(f->own.stack, STACK), 0);
#endif
}

static void fibers_move_between_threads(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_init(&stage.r, &(tsmbr_config){.upstream = &w.upstream});
    pthread_mutex_init(&stage.mutex, NULL);
    pthread_cond_init(&stage.changed, NULL);
    for (int life = 0; life < 2; life++) {
        stage.left = FIBERS;
        stage.moves = 0;
        for (size_t i = 0; i < FIBERS; i++)
            fiber_start(&stage.fibers[i], i);
        run_threads(THREADS, run_fibers, NULL);
        assert_int_equal(stage.moves, FIBERS * TURNS);
        assert_int_equal(stage.refused, 0);
        blocks all = {0};
        size_t asked = 0;
        for (size_t i = 0; i < FIBERS; i++) {
            fiber *f = &stage.fibers[i];
            for (size_t k = 0; k < f->count; k++) {
                assert_true(pattern_intact(&f->log[k]));
                blocks_add(&all, f->log[k].ptr, f->log[k].bytes, f->log[k].pattern);
                asked += f->log[k].bytes;
            }
            assert_true(f->count >= 2 * TURNS);
            fiber_end(f);
        }
        assert_int_equal(blocks_check(&all), 0);
        blocks_free(&all);
        /* Lanes are as many as threads, not as fibers; those of fibers have given back or count as wasted. */
        assert_in_range(stage.highest, 1, THREADS);
        tsmbr_statistics s;
        tsmbr_get_statistics(&stage.r, &s);
        assert_true(s.allocated_bytes >= asked);
        assert_int_equal(s.reserved_bytes, w.held);
        tsmbr_reset(&stage.r, SIZE_MAX);
    }
    pthread_cond_destroy(&stage.changed);
    pthread_mutex_destroy(&stage.mutex);
    tsmbr_destroy(&stage.r);
    watch_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fibers_move_between_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
