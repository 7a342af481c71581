/* Signal handlers that allocate from the resource whose calls they interrupt: at every step of the library, by
 * a signal the thread sends itself there, and anywhere, by signals from another thread and by a timer of each
 * thread's own. With TSMBR_ROUNDS=n in the environment the timers go on n times as long. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* timers that signal one thread */
#endif

#include "hook.h"

#include "lane.h"

#include "support.h"

#include <stdio.h>

#if defined(_WIN32)
void hook(const char *step)
{
    (void)step;
}

int main(void)
{
    puts("signals: this system interrupts no thread; nothing was tested");
    return 77; /* skipped */
}
#else

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__) && defined(__linux__)
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

enum { THREADS = 4, MOST = 200000, DEEPEST = 3 };

/* What a thread and its handlers share. Handlers only append: an index is taken before it is written to. */
typedef struct member {
    tsmbr_resource *r;
    dice handler_dice;
    struct {
        unsigned char *ptr;
        size_t bytes;
    } got[MOST];
    atomic_size_t count;
    volatile sig_atomic_t depth;
    size_t handled;
    size_t at_work; /* handlers that found the thread in its lane */
    size_t refused;
} member;

static struct {
    member all[THREADS];
    tsmbr_resource r;
    bool try_only;
    unsigned hook_odds; /* a signal at one of so many steps; 0: signals from another thread, or from timers */
    bool timers;
    size_t calls;  /* of each thread, its handlers aside */
    size_t played; /* scenes before this one: each has dice of its own */
    atomic_size_t running;
    pthread_t threads[THREADS];
    atomic_bool known[THREADS];
} scene;

static _Thread_local member *volatile me;

static void handle(int signal_number)
{
    (void)signal_number;
    member *m = me;
    if (m == NULL || m->depth >= DEEPEST)
        return;
    m->depth++;
    m->handled++;
    if (tsmbr_thread.busy != 0)
        m->at_work++;
    size_t bytes = 1 + dice_below(&m->handler_dice, 60);
    unsigned char *p = NULL;
    if (scene.try_only || dice_below(&m->handler_dice, 2) == 0)
        p = tsmbr_try_allocate(m->r, bytes, 1);
    else
        p = tsmbr_allocate(m->r, bytes, 1);
    if (p == NULL) {
        m->refused++;
    } else if (m->count < MOST) {
        size_t at = m->count++;
        m->got[at].ptr = p;
        m->got[at].bytes = bytes;
        size_t less = 1 + dice_below(&m->handler_dice, bytes);
        if (dice_below(&m->handler_dice, 4) == 0 && tsmbr_try_resize(m->r, p, bytes, less))
            m->got[at].bytes = less;
    }
    m->depth--;
}

/* In the handler, too: a handler may be interrupted. */
void hook(const char *step)
{
    (void)step;
    member *m = me;
    static _Thread_local uint32_t roll;
    if (m == NULL || scene.hook_odds == 0 || m->depth >= DEEPEST)
        return;
    if (roll == 0)
        roll = (uint32_t)run_seed() + (uint32_t)(scene.played * THREADS + (size_t)(m - scene.all)) * 77777u;
    roll = roll * 1664525u + 1013904223u;
    if ((roll >> 8) % scene.hook_odds == 0)
        (void)raise(SIGUSR1);
}

#if defined(__GLIBC__) && defined(__linux__)
enum { TIMER_NANOSECONDS = 20000 };

/* SIGUSR2 for the calling thread, again and again. */
static timer_t timer_start(void)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR2;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    const struct itimerspec period = {{0, TIMER_NANOSECONDS}, {0, TIMER_NANOSECONDS}};
    timer_t timer = NULL;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &period, NULL) != 0)
        abort();
    return timer;
}
#endif

static void signalled_work(void *argument, size_t index)
{
    (void)argument;
    member *m = &scene.all[index];
    dice d = dice_make(run_seed(), scene.played * THREADS + index);
    scene.threads[index] = pthread_self();
    me = m;
    scene.known[index] = true;
#if defined(__GLIBC__) && defined(__linux__)
    timer_t timer = scene.timers ? timer_start() : NULL;
#endif
    for (size_t i = 0; i < scene.calls; i++) {
        if (scene.hook_odds == 0 && !scene.timers && i % 500 == 0)
            sched_yield(); /* the sender may want the processor */
        size_t bytes = 1 + dice_below(&d, 120);
        unsigned char *p = tsmbr_allocate(m->r, bytes, 1);
        if (p == NULL) {
            m->refused++;
            continue;
        }
        size_t now = bytes / 2 + dice_below(&d, bytes + 1);
        if (now != 0 && dice_below(&d, 8) == 0 && tsmbr_try_resize(m->r, p, bytes, now))
            bytes = now;
        if (m->count < MOST) {
            size_t at = m->count++;
            m->got[at].ptr = p;
            m->got[at].bytes = bytes;
        }
    }
#if defined(__GLIBC__) && defined(__linux__)
    if (scene.timers)
        (void)timer_delete(timer);
#endif
    me = NULL;
    scene.running--;
}

static void send_signals(void)
{
    for (unsigned i = 0; scene.running != 0; i++)
        if (scene.known[i % THREADS])
            (void)pthread_kill(scene.threads[i % THREADS], SIGUSR2);
}

/* The threads stay until the sender has ended, so that it never signals one that is gone. */
static void member_main(void *argument, size_t index)
{
    if (index < THREADS)
        signalled_work(argument, index);
    else if (scene.hook_odds == 0 && !scene.timers)
        send_signals();
    pthread_barrier_wait(argument);
}

/* How many handlers ran, and how many of them found their thread at work. */
typedef struct tally {
    size_t handled;
    size_t at_work;
} tally;

static tally run_scene(unsigned flags, bool try_only, unsigned hook_odds, size_t calls)
{
    scene.try_only = try_only;
    scene.hook_odds = hook_odds;
    scene.calls = calls;
    scene.running = THREADS;
    /* Room for all: nothing goes upstream but the block before the start. */
    tsmbr_init(&scene.r, &(tsmbr_config){.initial_size = 64 << 20, .flags = flags});
    assert_non_null(tsmbr_allocate(&scene.r, 1, 1));
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        m->r = &scene.r;
        m->handler_dice = dice_make(run_seed() + 1, scene.played * THREADS + i);
        m->count = m->handled = m->at_work = m->refused = 0;
        scene.known[i] = false;
    }
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_NODEFER | SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_flags = SA_RESTART; /* however fast they are sent, one at a time */
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
    pthread_barrier_t end;
    pthread_barrier_init(&end, NULL, THREADS + 1);
    run_threads(THREADS + 1, member_main, &end);
    pthread_barrier_destroy(&end);
    blocks every = {0};
    tally all = {0};
    size_t refused = 0, bytes = 0;
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        for (size_t k = 0; k < m->count; k++) {
            blocks_add(&every, m->got[k].ptr, m->got[k].bytes, dice_roll(&m->handler_dice));
            bytes += m->got[k].bytes;
        }
        all.handled += m->handled;
        all.at_work += m->at_work;
        refused += m->refused;
    }
    assert_int_equal(blocks_check(&every), 0);
    assert_int_equal(refused, 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&scene.r, &s);
    assert_true(s.allocated_bytes >= bytes);
    assert_int_equal(s.chunks, 1);
    blocks_free(&every);
    tsmbr_destroy(&scene.r);
    scene.played++;
    return all;
}

/* Signals at the steps: as many as the dice say, however fast the machine is. */
static void signals_at_steps(unsigned flags, bool try_only, unsigned hook_odds, size_t calls)
{
    tally all = run_scene(flags, try_only, hook_odds, calls);
    assert_true(all.handled > calls / hook_odds);
    if (flags == TSMBR_SHARED_ONLY)
        assert_int_equal(all.at_work, 0);
    else
        assert_true(all.at_work > calls / hook_odds);
}

/* Signals from another thread come between steps, too, but how many is the machine's to say: scenes until there
 * were some, or it has had its chance. */
static void signals_from_outside(unsigned flags, bool try_only)
{
    tally all = {0};
    for (int i = 0; i < 20 && all.handled < 500; i++) {
        tally one = run_scene(flags, try_only, 0, rounds_for(20000));
        all.handled += one.handled;
        all.at_work += one.at_work;
    }
    printf("%zu handlers ran, %zu found their thread at work in its lane\n", all.handled, all.at_work);
}

#if defined(__GLIBC__) && defined(__linux__)
/* How many times as long: TSMBR_ROUNDS. */
static size_t rounds_given(void)
{
    const char *given = getenv("TSMBR_ROUNDS");
    unsigned long rounds = given != NULL ? strtoul(given, NULL, 10) : 1;
    return rounds == 0 ? 1 : (size_t)rounds;
}
#endif

/* Signals from timers, as many as the machine gives in some seconds. */
static void signals_from_timers(unsigned flags, bool try_only)
{
#if defined(__GLIBC__) && defined(__linux__)
    size_t scenes = rounds_for(5) * rounds_given();
    tally all = {0};
    scene.timers = true;
    for (size_t i = 0; i < scenes; i++) {
        tally one = run_scene(flags, try_only, 0, rounds_for(60000));
        all.handled += one.handled;
        all.at_work += one.at_work;
    }
    scene.timers = false;
    printf("timers: %zu handlers ran, %zu found their thread at work in its lane\n", all.handled, all.at_work);
#if !defined(__SANITIZE_THREAD__) /* which hands signals over when it likes */
    assert_true(all.handled > 0);
#endif
#else
    (void)flags;
    (void)try_only;
    print_message("timers that signal one thread are known for Linux only\n");
    skip();
#endif
}

static void timers_interrupt_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    signals_from_timers(TSMBR_SHARED_ONLY, false);
}

static void timers_interrupt_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    signals_from_timers(0, true);
}

static void handlers_allocate_by_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_steps(TSMBR_SHARED_ONLY, false, 10, rounds_for(6000));
    signals_from_outside(TSMBR_SHARED_ONLY, false);
}

static void handlers_allocate_beside_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_steps(0, true, 10, rounds_for(6000));
    signals_at_steps(0, true, 3, rounds_for(6000));
    signals_from_outside(0, true);
}

/* A thread's, after the calls by which it gets one. */
static void note_slot(void *slot, size_t index)
{
    (void)index;
    for (int i = 0; i < 2; i++)
        if (tsmbr_allocate(&scene.r, 1, 1) == NULL)
            return;
    if (tsmbr_thread.standing == THREAD_HOLDS)
        *(unsigned *)slot = tsmbr_thread.slot;
}

/* tsmbr_allocate in a handler is not promised to be safe, as a thread's first call asks the system for something;
 * but where that is harmless, as it is here, the lanes are. */
static void handlers_take_no_second_slot(void **state)
{
    (void)state;
    (void)run_seed();
    /* Slots are taken by the first calls: many threads that make a few. */
    for (size_t i = 0; i < rounds_for(100); i++)
        signals_at_steps(0, false, 3, 50);
    /* All slots are free but that of this thread, if it has one. */
    scene.hook_odds = 0;
    tsmbr_init(&scene.r, &(tsmbr_config){.initial_size = 1 << 20});
    unsigned slot = SLOTS;
    run_threads(1, note_slot, &slot);
    assert_in_range(slot, 0, 1);
    tsmbr_destroy(&scene.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_allocate_by_the_shared_path),
        cmocka_unit_test(handlers_allocate_beside_lanes),
        cmocka_unit_test(handlers_take_no_second_slot),
        cmocka_unit_test(timers_interrupt_the_shared_path),
        cmocka_unit_test(timers_interrupt_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
