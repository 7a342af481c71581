/* Signal handlers that allocate from the resource whose calls they interrupt: at every step of the library, by
 * a signal the thread sends itself there; after every instruction, where the processor says so; and anywhere, by
 * signals from another thread and by a timer of each thread's own. A plain run has a million handlers at steps.
 * With TSMBR_ROUNDS=n in the environment the timers go on until they have interrupted n times as many calls:
 * TSMBR_ROUNDS=1000 is a million. */
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

/* Under ThreadSanitizer signals are handed over when it likes, and one at an instruction never. */
#if defined(__SANITIZE_THREAD__)
#define SIGNALS_ARE_DELAYED true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_ARE_DELAYED true
#endif
#endif
#ifndef SIGNALS_ARE_DELAYED
#define SIGNALS_ARE_DELAYED false
#endif

enum { THREADS = 4, MOST = 200000, DEEPEST = 3 };

/* Handlers that must have interrupted a call, with lanes and without: at steps, and at a round of the timers. */
enum { AT_STEPS = 500000, BY_TIMERS = 500 };

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
    volatile sig_atomic_t in_call; /* of tsmbr_allocate */
    size_t handled;
    size_t inside;  /* handlers that interrupted a call */
    size_t at_work; /* handlers that found the thread in its lane */
    size_t refused;
} member;

static struct {
    member all[THREADS];
    tsmbr_resource r;
    bool try_only;
    unsigned hook_odds; /* a signal at one of so many steps; 0: signals from another thread, or from timers */
    bool timers;
    unsigned step_odds; /* the handler acts after one of so many instructions of a call; 0: no signals there */
    size_t calls;       /* of each thread, its handlers aside */
    size_t played;      /* scenes before this one: each has dice of its own */
    bool failed;        /* one of them: what comes after it need not end */
    atomic_size_t running;
    pthread_t threads[THREADS];
    atomic_bool known[THREADS];
} scene;

/* Room for all of a scene, so nothing goes upstream; and a bit for each byte that is in a block. */
enum { MEMORY = 64 << 20 };
static _Alignas(64) unsigned char memory[MEMORY];
static uint64_t taken[MEMORY / 64];

static _Thread_local member *volatile me;

static void handle(int signal_number)
{
    (void)signal_number;
    member *m = me;
    if (m == NULL || m->depth >= DEEPEST)
        return;
    if (scene.step_odds != 0 && dice_below(&m->handler_dice, scene.step_odds) != 0)
        return;
    m->depth++;
    m->handled++;
    m->inside += m->in_call != 0;
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
/* SIGUSR2 for the calling thread, every 15 microseconds; less often where all is slow, or handlers would take all
 * the time there is. */
static timer_t timer_start(void)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR2;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    const long nanoseconds = (long)(15000000 / rounds_for(1000));
    const struct itimerspec period = {{0, nanoseconds}, {0, nanoseconds}};
    timer_t timer = NULL;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &period, NULL) != 0)
        abort();
    return timer;
}
#endif

#if defined(__x86_64__) && defined(__LP64__) && defined(__linux__)
#define PROCESSOR_STEPS

/* The processor traps after each instruction while the flag is set, and the kernel makes a SIGTRAP of it, whose
 * handler runs with the flag off. The stack is left alone where the compiler may have something below its end. */
static inline void step_begin(void)
{
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp"
                     :
                     :
                     : "memory", "cc");
}

static inline void step_end(void)
{
    __asm__ volatile(
        "leaq -128(%%rsp), %%rsp\n\tpushfq\n\tandq $-0x101, (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp"
        :
        :
        : "memory", "cc");
}
#else
static inline void step_begin(void) {}

static inline void step_end(void) {}
#endif

static unsigned char *signalled_call(member *m, size_t bytes)
{
    m->in_call = 1;
    if (scene.step_odds != 0)
        step_begin();
    unsigned char *p = tsmbr_allocate(m->r, bytes, 1);
    if (scene.step_odds != 0)
        step_end();
    m->in_call = 0;
    return p;
}

/* A scene whose signals another thread sends. */
static bool scene_is_sent(void)
{
    return scene.hook_odds == 0 && !scene.timers && scene.step_odds == 0;
}

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
        if (scene_is_sent() && i % 500 == 0)
            sched_yield(); /* the sender may want the processor */
        /* Little else than calls, so that many signals come in one. */
        uint64_t roll = dice_roll(&d);
        size_t bytes = 1 + (size_t)(roll % 128);
        unsigned char *p = signalled_call(m, bytes);
        if (p == NULL) {
            m->refused++;
            continue;
        }
        size_t now = bytes / 2 + (size_t)(roll >> 8) % 128;
        if (now != 0 && roll >> 61 == 0 && tsmbr_try_resize(m->r, p, bytes, now))
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
    else if (scene_is_sent())
        send_signals();
    pthread_barrier_wait(argument);
}

/* How many handlers ran, how many of them interrupted a call, and how many found their thread at work. */
typedef struct tally {
    size_t handled;
    size_t inside;
    size_t at_work;
} tally;

static void tally_add(tally *t, tally other)
{
    t->handled += other.handled;
    t->inside += other.inside;
    t->at_work += other.at_work;
}

static void tally_print(const char *where, tally t)
{
    printf("%s: %zu handlers ran, %zu interrupted a call, %zu found their thread at work in its lane\n", where,
           t.handled, t.inside, t.at_work);
}

/* False if the bytes are not all in memory, or one of them was taken before. */
static bool take(const unsigned char *ptr, size_t bytes)
{
    size_t at = (size_t)((uintptr_t)ptr - (uintptr_t)memory);
    if (at >= MEMORY || bytes > MEMORY - at)
        return false;
    bool apart = true;
    for (size_t end = at + bytes, upto = 0; at < end; at = upto) {
        upto = end - at < 64 - at % 64 ? end : at + 64 - at % 64;
        uint64_t bits = UINT64_MAX >> (64 - (upto - at)) << at % 64;
        apart = apart && (taken[at / 64] & bits) == 0;
        taken[at / 64] |= bits;
    }
    return apart;
}

static tally run_scene(unsigned flags, bool try_only, unsigned hook_odds, size_t calls)
{
    if (scene.failed)
        skip();
    scene.failed = true;
    scene.try_only = try_only;
    scene.hook_odds = hook_odds;
    scene.calls = calls;
    scene.running = THREADS;
    tsmbr_init(&scene.r,
               &(tsmbr_config){
                   .upstream = tsmbr_null_upstream(), .buffer = memory, .buffer_size = MEMORY, .flags = flags});
    assert_non_null(tsmbr_allocate(&scene.r, 1, 1));
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        m->r = &scene.r;
        m->handler_dice = dice_make(run_seed() + 1, scene.played * THREADS + i);
        m->count = m->handled = m->inside = m->at_work = m->refused = 0;
        scene.known[i] = false;
    }
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_NODEFER | SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_flags = SA_RESTART; /* however fast they are sent, one at a time */
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
    if (scene.step_odds != 0)
        assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    pthread_barrier_t end;
    pthread_barrier_init(&end, NULL, THREADS + 1);
    run_threads(THREADS + 1, member_main, &end);
    pthread_barrier_destroy(&end);
    memset(taken, 0, sizeof taken);
    tally all = {0};
    size_t refused = 0, bytes = 0, overlaps = 0;
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        for (size_t k = 0; k < m->count; k++) {
            overlaps += !take(m->got[k].ptr, m->got[k].bytes);
            bytes += m->got[k].bytes;
        }
        tally_add(&all, (tally){m->handled, m->inside, m->at_work});
        refused += m->refused;
    }
    assert_int_equal(overlaps, 0);
    assert_int_equal(refused, 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&scene.r, &s);
    assert_true(s.allocated_bytes >= bytes);
    tsmbr_destroy(&scene.r);
    scene.played++;
    scene.failed = false;
    return all;
}

/* Signals at the steps: as many as the dice say, however fast the machine is. */
static tally signals_at_steps(unsigned flags, bool try_only, unsigned hook_odds, size_t calls)
{
    tally all = run_scene(flags, try_only, hook_odds, calls);
    assert_true(all.handled > calls / hook_odds);
    if (flags == TSMBR_SHARED_ONLY)
        assert_int_equal(all.at_work, 0);
    else
        assert_true(all.at_work > calls / hook_odds);
    return all;
}

/* Scenes with a signal at one step in three, until so many handlers have interrupted a call. */
static void many_signals_at_steps(unsigned flags, bool try_only)
{
    tally all = {0};
    size_t wanted = rounds_for(AT_STEPS);
    for (int i = 0; i < 50 && all.inside < wanted; i++)
        tally_add(&all, signals_at_steps(flags, try_only, 3, rounds_for(2000)));
    tally_print("at steps", all);
    assert_true(all.inside >= wanted);
}

/* Signals from another thread come between steps, too, but how many is the machine's to say: scenes until there
 * were some, or it has had its chance. */
static void signals_from_outside(unsigned flags, bool try_only)
{
    tally all = {0};
    for (int i = 0; i < (SIGNALS_ARE_DELAYED ? 20 : 200) && all.inside < 500; i++)
        tally_add(&all, run_scene(flags, try_only, 0, rounds_for(20000)));
    tally_print("from another thread", all);
    assert_true(all.handled > 0);
    if (!SIGNALS_ARE_DELAYED)
        assert_true(all.inside >= 100);
    if (!SIGNALS_ARE_DELAYED && flags != TSMBR_SHARED_ONLY)
        assert_true(all.at_work > 0);
}

#if defined(__GLIBC__) && defined(__linux__)
/* How many times as many: TSMBR_ROUNDS. */
static size_t rounds_given(void)
{
    const char *given = getenv("TSMBR_ROUNDS");
    unsigned long rounds = given != NULL ? strtoul(given, NULL, 10) : 1;
    return rounds == 0 ? 1 : (size_t)rounds;
}
#endif

/* Signals from timers: scenes until enough of them have interrupted a call. */
static void signals_from_timers(unsigned flags, bool try_only)
{
#if defined(__GLIBC__) && defined(__linux__)
    size_t wanted = rounds_for(BY_TIMERS) * rounds_given(),
           most = (SIGNALS_ARE_DELAYED ? 1 : 100) * rounds_given();
    tally all = {0};
    scene.timers = true;
    for (size_t i = 0; i < most && all.inside < wanted; i++)
        tally_add(&all, run_scene(flags, try_only, 0, rounds_for(60000)));
    scene.timers = false;
    tally_print("from timers", all);
    if (SIGNALS_ARE_DELAYED)
        return;
    assert_true(all.inside >= wanted);
    if (flags != TSMBR_SHARED_ONLY)
        assert_true(all.at_work > 0);
#else
    (void)flags;
    (void)try_only;
    print_message("timers that signal one thread are known for Linux only\n");
    skip();
#endif
}

/* A signal after every instruction of every call of every thread. One handler in 64 acts: if all did, a
 * compare-and-swap would be lost to them for ever. */
static void signals_at_instructions(unsigned flags, bool try_only)
{
#if defined(PROCESSOR_STEPS)
    if (!SIGNALS_ARE_DELAYED) {
        size_t calls = rounds_for(300);
        scene.step_odds = 64;
        tally all = run_scene(flags, try_only, 0, calls);
        scene.step_odds = 0;
        tally_print("at instructions", all);
        assert_true(all.inside >= calls);
        if (flags != TSMBR_SHARED_ONLY)
            assert_true(all.at_work >= calls / 4);
        return;
    }
#endif
    (void)flags;
    (void)try_only;
    print_message("how to step is known for x86-64 only, and ThreadSanitizer does not let it happen\n");
    skip();
}

static void handlers_between_instructions_by_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_instructions(TSMBR_SHARED_ONLY, false);
}

static void handlers_between_instructions_beside_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_instructions(0, true);
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
    (void)signals_at_steps(TSMBR_SHARED_ONLY, false, 10, rounds_for(6000));
    many_signals_at_steps(TSMBR_SHARED_ONLY, false);
    signals_from_outside(TSMBR_SHARED_ONLY, false);
}

static void handlers_allocate_beside_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    (void)signals_at_steps(0, true, 10, rounds_for(6000));
    many_signals_at_steps(0, true);
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
        (void)signals_at_steps(0, false, 3, 50);
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
        cmocka_unit_test(handlers_between_instructions_by_the_shared_path),
        cmocka_unit_test(handlers_between_instructions_beside_lanes),
        cmocka_unit_test(timers_interrupt_the_shared_path),
        cmocka_unit_test(timers_interrupt_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
