/* Signal handlers that allocate from the resource whose calls they interrupt: at every step of the library, by
 * a signal the thread sends itself there; after every instruction, where the processor says so; and anywhere, by
 * signals from another thread and by a timer of each thread's own. A plain run has a million handlers at steps.
 * Signals after instructions, which 64-bit x86 has, and there those from timers once more, are left to
 * signals_shipped.c, this file over the library as it ships. With TSMBR_ROUNDS=n in the environment the timers go
 * on until they have interrupted n times as many calls, and there are more signals after instructions:
 * TSMBR_ROUNDS=1000 is two million times tsmbr_allocate in tsmbr_allocate without lanes, and two million times
 * with them. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* timers that signal one thread; MAP_ANONYMOUS */
#endif

#include "hook.h"

#include "lane.h"

#include "sanitizers.h"
#include "support.h"

#include <stdio.h>

#if !defined(SHIPPED)
#define SHIPPED 0 /* the library has hooks */
#endif
#if defined(__x86_64__) && defined(__LP64__) && defined(__linux__)
#define PROCESSOR_STEPS
#endif

#if defined(_WIN32) || (SHIPPED && !defined(PROCESSOR_STEPS))
void hook(const char *step)
{
    (void)step;
}

int main(void)
{
    puts(SHIPPED ? "signals_shipped: what can be tested here is in signals"
                 : "signals: this system interrupts no thread; nothing was tested");
    return 77; /* skipped */
}
#else

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__GLIBC__) && defined(__linux__)
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

/* Under ThreadSanitizer signals are handed over when it likes, and one at an instruction never. */
#define SIGNALS_ARE_DELAYED UNDER_TSAN

enum { THREADS = 4, MOST = 200000, DEEPEST = 3 };

/* What one scene has and another has not. */
typedef struct setting {
    unsigned flags;
    bool try_only;    /* handlers call tsmbr_try_allocate, else tsmbr_allocate */
    bool lanes_first; /* no signal before a thread has its lane */
    bool grows;       /* chunks from an upstream under a limit, else room for all in one */
    size_t
        at_steps; /* handlers that must have interrupted a call, one that grows where there are such, at steps, */
    size_t at_rounds; /* and in a round of the timers */
} setting;

static const setting shared_path = {.flags = TSMBR_SHARED_ONLY, .at_steps = 500000, .at_rounds = 2000};
static const setting beside_lanes = {.try_only = true, .at_steps = 500000, .at_rounds = 500};
static const setting in_lanes = {.lanes_first = true, .at_steps = 100000, .at_rounds = 2000};
static const setting shared_growth = {
    .flags = TSMBR_SHARED_ONLY, .try_only = true, .grows = true, .at_steps = 1000, .at_rounds = 20};
static const setting growth_beside_lanes = {.try_only = true, .grows = true, .at_steps = 1000, .at_rounds = 20};

/* How many handlers ran, and what they met and got. */
typedef struct tally {
    size_t handled;
    size_t inside;    /* interrupted a call */
    size_t at_work;   /* found the thread in its lane */
    size_t in_growth; /* interrupted a call that had asked the upstream */
    size_t advancing; /* came before a kept chunk was made current */
    size_t served;
    size_t unserved;
    size_t refused; /* of the calls that are no handlers' */
} tally;

/* What a thread and its handlers share. Handlers only append, at the end of got and downwards: so the thread needs
 * no read-modify-write between its calls, and is in one of them twice as often when a signal comes. An index is
 * taken before it is written to. */
typedef struct member {
    tsmbr_resource *r;
    size_t index;
    dice handler_dice;
    block got[MOST];
    volatile size_t count;
    atomic_size_t handlers_count;
    volatile sig_atomic_t depth;
    volatile sig_atomic_t in_call; /* of tsmbr_allocate */
    volatile sig_atomic_t grows;   /* that call has asked the upstream */
    volatile sig_atomic_t signals; /* that it has sent itself in this call */
    tally t;
} member;

static struct {
    member all[THREADS];
    tsmbr_resource r;
    setting set;
    unsigned hook_odds; /* a signal at one of so many steps; 0: signals from another thread, or from timers */
    long timers_pause;  /* nanoseconds between a timer's signals; 0: there are no timers */
    unsigned step_odds; /* the handler acts after one of so many instructions of a call; 0: no signals there */
    size_t calls;       /* of each thread, its handlers aside */
    size_t played;      /* scenes before this one: each has dice of its own */
    bool failed;        /* one of them: what comes after it need not end */
    atomic_size_t held; /* of the upstream's bytes */
    atomic_size_t faults;
    atomic_size_t running;
    pthread_t threads[THREADS];
    atomic_bool known[THREADS];
} scene;

/* Room for all of a scene, so nothing goes upstream; and a bit for each byte that is in a block. */
enum { MEMORY = 64 << 20 };
static _Alignas(64) unsigned char memory[MEMORY];
static uint64_t taken[MEMORY / 64];

static _Thread_local member *volatile me;

/* No room for the blocks of a call and of the handlers that may interrupt it: the thread's part of the scene ends.
 * Where signals come faster than they can be handled there are many handlers to a call. */
static bool notes_are_full(const member *m)
{
    return m->count + m->handlers_count >= MOST - 2 * DEEPEST;
}

/* A block of the thread or of its handler. */
static block *note(member *m, void *ptr, size_t bytes)
{
    size_t at = m->depth == 0 ? m->count++ : MOST - 1 - m->handlers_count++;
    if (m->count + m->handlers_count >= MOST)
        abort(); /* a scene too long to be checked */
    m->got[at] = (block){ptr, bytes, m->index * MOST + at};
    if (scene.set.grows)
        pattern_write(&m->got[at]);
    return &m->got[at];
}

static void handle(int signal_number)
{
    (void)signal_number;
    member *m = me;
    if (m == NULL || m->depth >= DEEPEST || notes_are_full(m))
        return;
    if (scene.step_odds != 0 && dice_below(&m->handler_dice, scene.step_odds) != 0)
        return;
    m->depth++;
    m->t.handled++;
    m->t.inside += m->in_call != 0;
    m->t.in_growth += m->grows != 0;
    m->t.at_work += tsmbr_thread.busy != 0;
    size_t bytes = 1 + dice_below(&m->handler_dice, 60);
    if (scene.set.grows && dice_below(&m->handler_dice, 32) == 0)
        bytes += 20000; /* kept for such, or else refused */
    unsigned char *p = scene.set.try_only ? tsmbr_try_allocate(m->r, bytes, 1) : tsmbr_allocate(m->r, bytes, 1);
    if (p == NULL) {
        m->t.unserved++;
    } else {
        m->t.served++;
        block *b = note(m, p, bytes);
        size_t less = 1 + dice_below(&m->handler_dice, bytes);
        if (dice_below(&m->handler_dice, 4) == 0 && tsmbr_try_resize(m->r, p, bytes, less))
            b->bytes = less;
    }
    m->depth--;
}

/* A scene whose signals another thread sends. */
static bool scene_is_sent(void)
{
    return scene.hook_odds == 0 && scene.timers_pause == 0 && scene.step_odds == 0;
}

/* In the handler, too: a handler may be interrupted. */
void hook(const char *step)
{
    member *m = me;
    static _Thread_local uint32_t roll;
    static _Thread_local unsigned steps;
    if (m != NULL && m->in_call != 0 && scene_is_sent() && ++steps % 2000 == 0)
        sched_yield(); /* the sender may want the processor, and is to find the thread in a call */
    if (m == NULL || scene.hook_odds == 0 || m->depth >= DEEPEST)
        return;
    if (roll == 0)
        roll = (uint32_t)run_seed() + (uint32_t)(scene.played * THREADS + (size_t)(m - scene.all)) * 77777u;
    roll = roll * 1664525u + 1013904223u;
    if ((roll >> 8) % scene.hook_odds != 0 || m->signals >= 30)
        return; /* a call that looks again and again has had its share */
    m->signals++;
    m->t.advancing += m->grows == 0 && strcmp(step, "head_cas_release") == 0;
    (void)raise(SIGUSR1);
}

/* It has no state that a handler could meet half changed; and handlers never come here. */
static void *map_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    member *m = me;
    if (m != NULL) {
        m->grows = 1;
        scene.faults += m->depth != 0;
    }
    hook("upstream");
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    scene.held += bytes;
    hook("upstream");
    return p;
}

static void map_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    hook("upstream");
    scene.held -= bytes;
    (void)munmap(ptr, bytes);
    hook("upstream");
}

static const tsmbr_upstream map_upstream = {map_allocate, map_deallocate, NULL};
enum { LIMIT = 1 << 20 };

#if defined(__GLIBC__) && defined(__linux__)
static long nanoseconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)(now.tv_sec % 2) * 1000000000 + now.tv_nsec; /* a long may have 32 bits */
}

/* Fifteen microseconds, or some times what a signal costs here, which a virtual machine makes long: if handlers
 * took all the time there is, calls would get no further. */
static long pause_between_signals(void)
{
    long least = LONG_MAX;
    for (int run = 0; run < 10; run++) {
        long begin = nanoseconds_now();
        for (int i = 0; i < 20; i++)
            (void)raise(SIGUSR2);
        long spent = nanoseconds_now() - begin;
        least = spent >= 0 && spent < least ? spent : least;
    }
    long pause = least / 20 * 5,
         shortest = SIGNALS_ARE_DELAYED ? 200000 : 15000; /* a delayed one is not measured */
    return pause > shortest ? pause : shortest;
}

/* SIGUSR2 for the calling thread, again and again. */
static timer_t timer_start(void)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR2;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    const struct itimerspec period = {{0, scene.timers_pause}, {0, scene.timers_pause}};
    timer_t timer = NULL;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &period, NULL) != 0)
        abort();
    return timer;
}
#endif

#if defined(PROCESSOR_STEPS)
#if defined(__OPTIMIZE__) && !UNDER_MSAN
enum { STEPPED_CALLS = 300 };
#else
enum { STEPPED_CALLS = 60 }; /* each has several times as many instructions */
#endif

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
    m->in_call = m->grows = m->signals = 0;
    return p;
}

/* Where chunks are to become full, some for large blocks, too. */
static size_t bytes_of_call(uint64_t roll)
{
    size_t kind = scene.set.grows ? (size_t)(roll >> 16) % 128 : 128;
    return 1 + (size_t)(roll % 128) + (kind < 4 ? 30000 : kind < 20 ? 5000 : 0);
}

/* What a thread's first lane needs is not fit for a handler. */
static void lane_first(member *m)
{
    for (int i = 0; i < 100 && lane_mine(resource_of(m->r), &tsmbr_thread) == NULL; i++)
        m->t.refused += tsmbr_allocate(m->r, 1, 1) == NULL;
    scene.faults += lane_mine(resource_of(m->r), &tsmbr_thread) == NULL;
}

static void signalled_work(void *argument, size_t index)
{
    (void)argument;
    member *m = &scene.all[index];
    dice d = dice_make(run_seed(), scene.played * THREADS + index);
    scene.threads[index] = pthread_self();
    if (scene.set.lanes_first)
        lane_first(m);
    me = m;
    scene.known[index] = true;
#if defined(__GLIBC__) && defined(__linux__)
    timer_t timer = scene.timers_pause != 0 ? timer_start() : NULL;
#endif
    size_t most = SIZE_MAX, calls = scene.calls;
    for (size_t i = 0; i < calls && !notes_are_full(m); i++) {
        /* Little else than calls, so that many signals come in one. */
        uint64_t roll = dice_roll(&d);
        size_t bytes = bytes_of_call(roll);
        bytes = bytes < most ? bytes : most;
        unsigned char *p = signalled_call(m, bytes);
        if (p == NULL) {
            /* All but full. Small ones are served from what was left behind, for a while. */
            m->t.refused++;
            most = 128;
            calls = calls < i + 20 ? calls : i + 20;
            continue;
        }
        size_t now = bytes / 2 + (size_t)(roll >> 8) % 128;
        if (now != 0 && roll >> 61 == 0 && tsmbr_try_resize(m->r, p, bytes, now))
            bytes = now;
        (void)note(m, p, bytes);
    }
#if defined(__GLIBC__) && defined(__linux__)
    if (scene.timers_pause != 0)
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

static void tally_add(tally *t, tally other)
{
    t->handled += other.handled;
    t->inside += other.inside;
    t->at_work += other.at_work;
    t->in_growth += other.in_growth;
    t->advancing += other.advancing;
    t->served += other.served;
    t->unserved += other.unserved;
    t->refused += other.refused;
}

/* What a setting asks for: so many in calls, and with lanes, one at work in them. Where it grows, so many in calls
 * that do, handlers that were served and some that were not, calls at the limit, and at steps, kept chunks. */
static bool met(setting set, tally t, size_t wanted)
{
    bool lanes = set.flags == TSMBR_SHARED_ONLY || t.at_work != 0;
    if (!set.grows)
        return lanes && t.inside >= wanted;
    return lanes && t.in_growth >= wanted && t.served != 0 && t.unserved != 0 && t.refused != 0 &&
           (scene.hook_odds == 0 || t.advancing != 0);
}

static void tally_print(const char *where, tally t)
{
    printf("%s: %zu handlers ran, %zu interrupted a call, %zu found their thread at work in its lane\n", where,
           t.handled, t.inside, t.at_work);
    if (scene.set.grows)
        printf("  %zu interrupted growth, %zu came where a kept chunk is next, %zu were refused, and %zu calls\n",
               t.in_growth, t.advancing, t.unserved, t.refused);
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

static size_t overlaps(void)
{
    size_t faults = 0;
    blocks all = {0};
    memset(taken, 0, sizeof taken);
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        if (scene.set.grows)
            blocks_append(&all, &(blocks){m->got, m->count, 0});
        else
            for (size_t k = 0; k < m->count; k++)
                faults += !take(m->got[k].ptr, m->got[k].bytes);
    }
    faults += blocks_check(&all);
    blocks_free(&all);
    return faults;
}

/* All threads at their calls; then what they and their handlers got is looked at. */
static tally run_calls(void)
{
    scene.running = THREADS;
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        m->r = &scene.r;
        m->index = i;
        m->handler_dice = dice_make(run_seed() + 1, scene.played * THREADS + i);
        m->count = 0;
        m->handlers_count = 0;
        m->t = (tally){0};
        scene.known[i] = false;
    }
    pthread_barrier_t end;
    pthread_barrier_init(&end, NULL, THREADS + 1);
    run_threads(THREADS + 1, member_main, &end);
    pthread_barrier_destroy(&end);
    tally all = {0};
    size_t bytes = 0;
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        memmove(m->got + m->count, m->got + MOST - m->handlers_count, m->handlers_count * sizeof *m->got);
        m->count += m->handlers_count;
        for (size_t k = 0; k < m->count; k++)
            bytes += m->got[k].bytes;
        tally_add(&all, m->t);
    }
    assert_int_equal(overlaps(), 0);
    assert_int_equal(scene.faults, 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&scene.r, &s);
    assert_true(s.allocated_bytes >= bytes);
    assert_int_equal(s.reserved_bytes, scene.held);
    assert_true(s.peak_reserved_bytes <= LIMIT);
    scene.played++;
    return all;
}

static void handlers_set(void)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_NODEFER | SA_RESTART};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_flags = SA_RESTART; /* however fast they are sent, one at a time */
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
}

static tally run_scene(setting set, unsigned hook_odds, size_t calls)
{
    if (scene.failed)
        skip();
    scene.failed = true;
    scene.set = set;
    scene.hook_odds = hook_odds;
    scene.calls = calls;
    tsmbr_config config = {.flags = set.flags, .upstream = tsmbr_null_upstream()};
    if (set.grows) {
        config.upstream = &map_upstream;
        config.limit = LIMIT;
    } else {
        config.buffer = memory;
        config.buffer_size = MEMORY;
    }
    tsmbr_init(&scene.r, &config);
    assert_non_null(tsmbr_allocate(&scene.r, 1, 1));
    handlers_set();
    tally all = run_calls();
    /* Then with all chunks kept, and with some. */
    for (int life = 0; set.grows && life < 2; life++) {
        tsmbr_reset(&scene.r, life == 0 ? SIZE_MAX : LIMIT / 2);
        tally_add(&all, run_calls());
    }
    if (!set.grows)
        assert_int_equal(all.refused + all.unserved, 0);
    tsmbr_destroy(&scene.r);
    assert_int_equal(scene.held, 0);
    scene.failed = false;
    return all;
}

/* Signals at the steps: as many as the dice say, however fast the machine is. */
static tally signals_at_steps(setting set, unsigned hook_odds, size_t calls)
{
    tally all = run_scene(set, hook_odds, calls);
    assert_true(all.handled > calls / hook_odds);
    if (set.flags == TSMBR_SHARED_ONLY)
        assert_int_equal(all.at_work, 0);
    else
        assert_true(all.at_work > calls / hook_odds);
    return all;
}

/* Scenes with a signal at one step in three, until so many handlers have interrupted a call. */
static void many_signals_at_steps(setting set)
{
    tally all = {0};
    size_t wanted = rounds_for(set.at_steps);
    for (int i = 0; i < 200 && !met(set, all, wanted); i++)
        tally_add(&all, signals_at_steps(set, 3, set.grows ? 1000 : rounds_for(2000)));
    tally_print("at steps", all);
    assert_true(met(set, all, wanted));
}

/* Signals from another thread come between steps, too, but how many is the machine's to say: scenes until there
 * were some, or it has had its chance. */
static void signals_from_outside(setting set)
{
    tally all = {0};
    for (int i = 0; i < (SIGNALS_ARE_DELAYED ? 20 : 200) && all.inside < 500; i++)
        tally_add(&all, run_scene(set, 0, rounds_for(20000)));
    tally_print("from another thread", all);
    assert_true(all.handled > 0);
    if (!SIGNALS_ARE_DELAYED)
        assert_true(all.inside >= 100);
    if (!SIGNALS_ARE_DELAYED && set.flags != TSMBR_SHARED_ONLY)
        assert_true(all.at_work > 0);
}

#if defined(PROCESSOR_STEPS) || (defined(__GLIBC__) && defined(__linux__))
/* How many times as many: TSMBR_ROUNDS. */
static size_t rounds_given(void)
{
    const char *given = getenv("TSMBR_ROUNDS");
    unsigned long rounds = given != NULL ? strtoul(given, NULL, 10) : 1;
    return rounds == 0 ? 1 : (size_t)rounds;
}
#endif

/* Signals from timers: scenes until enough of them have interrupted a call. */
static void signals_from_timers(setting set)
{
#if defined(__GLIBC__) && defined(__linux__)
    tally all = {0};
    size_t wanted = rounds_for(set.at_rounds) * rounds_given();
    handlers_set();
    scene.timers_pause = pause_between_signals();
    for (size_t i = 0; i < 1000 * rounds_given() && !met(set, all, wanted); i++)
        tally_add(&all, run_scene(set, 0, set.grows ? 1000 : rounds_for(60000)));
    scene.timers_pause = 0;
    tally_print("from timers", all);
    assert_true(met(set, all, wanted));
#else
    (void)set;
    print_message("timers that signal one thread are known for Linux only\n");
    assert_null(getenv("TSMBR_ROUNDS")); /* who wants so many is not to be told that they came */
    skip();
#endif
}

/* A signal after every instruction of every call of every thread. One handler in 64 acts: if all did, a
 * compare-and-swap would be lost to them for ever. */
static void signals_at_instructions(setting set)
{
#if defined(PROCESSOR_STEPS)
    if (!SIGNALS_ARE_DELAYED) {
        size_t scenes = 1 + rounds_given() / 100, calls = rounds_for(STEPPED_CALLS);
        tally all = {0};
        scene.step_odds = 64;
        for (size_t i = 0; i < scenes; i++)
            tally_add(&all, run_scene(set, 0, calls));
        scene.step_odds = 0;
        tally_print("at instructions", all);
        assert_true(all.inside >= scenes * calls);
        if (set.flags != TSMBR_SHARED_ONLY)
            assert_true(all.at_work >= scenes * calls / 4);
        return;
    }
#endif
    (void)set;
    print_message("how to step is known for x86-64 only, and ThreadSanitizer does not let it happen\n");
    skip();
}

static void handlers_between_instructions_by_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_instructions(shared_path);
}

static void handlers_between_instructions_beside_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_instructions(beside_lanes);
}

static void handlers_between_instructions_in_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    signals_at_instructions(in_lanes);
}

static void timers_interrupt_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    signals_from_timers(shared_path);
}

static void timers_interrupt_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    signals_from_timers(beside_lanes);
}

static void timers_interrupt_calls_like_their_handlers(void **state)
{
    (void)state;
    (void)run_seed();
    signals_from_timers(in_lanes);
}

static void handlers_allocate_by_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    (void)signals_at_steps(shared_path, 10, rounds_for(6000));
    many_signals_at_steps(shared_path);
    signals_from_outside(shared_path);
}

static void handlers_allocate_beside_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    (void)signals_at_steps(beside_lanes, 10, rounds_for(6000));
    many_signals_at_steps(beside_lanes);
    signals_from_outside(beside_lanes);
}

/* tsmbr_allocate in tsmbr_allocate, with lanes: fit where the thread has its lane and the chunk has room. */
static void handlers_allocate_in_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    (void)signals_at_steps(in_lanes, 10, rounds_for(6000));
    many_signals_at_steps(in_lanes);
    signals_from_outside(in_lanes);
}

static void handlers_allocate_while_chunks_come(void **state)
{
    (void)state;
    (void)run_seed();
    many_signals_at_steps(shared_growth);
    many_signals_at_steps(growth_beside_lanes);
}

static void timers_interrupt_growth(void **state)
{
    (void)state;
    (void)run_seed();
    signals_from_timers(shared_growth);
    signals_from_timers(growth_beside_lanes);
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

/* tsmbr_allocate in a handler is not promised to be safe before the thread has its lane, as that asks the system
 * for something; but where that is harmless, as it is here, the lanes are. */
static void handlers_take_no_second_slot(void **state)
{
    (void)state;
    (void)run_seed();
    /* Slots are taken by the first calls: many threads that make a few. */
    for (size_t i = 0; i < rounds_for(100); i++)
        (void)signals_at_steps((setting){0}, 3, 50);
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
    const struct CMUnitTest with_hooks[] = {
        cmocka_unit_test(handlers_allocate_by_the_shared_path),
        cmocka_unit_test(handlers_allocate_beside_lanes),
        cmocka_unit_test(handlers_allocate_in_lanes),
        cmocka_unit_test(handlers_allocate_while_chunks_come),
        cmocka_unit_test(handlers_take_no_second_slot),
        cmocka_unit_test(timers_interrupt_the_shared_path),
        cmocka_unit_test(timers_interrupt_lanes),
        cmocka_unit_test(timers_interrupt_calls_like_their_handlers),
        cmocka_unit_test(timers_interrupt_growth),
    };
    const struct CMUnitTest as_shipped[] = {
        cmocka_unit_test(handlers_between_instructions_by_the_shared_path),
        cmocka_unit_test(handlers_between_instructions_beside_lanes),
        cmocka_unit_test(handlers_between_instructions_in_lanes),
        cmocka_unit_test(timers_interrupt_the_shared_path),
        cmocka_unit_test(timers_interrupt_lanes),
        cmocka_unit_test(timers_interrupt_calls_like_their_handlers),
        cmocka_unit_test(timers_interrupt_growth),
    };
    return SHIPPED ? cmocka_run_group_tests(as_shipped, NULL, NULL)
                   : cmocka_run_group_tests(with_hooks, NULL, NULL);
}
#endif
