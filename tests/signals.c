/* Signal handlers that allocate from the resource whose calls they interrupt: at every step of the library, by
 * a signal the thread sends itself there, and anywhere, by signals from another thread. */
#include "hook.h"

#include "lane.h"

#include "support.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, CALLS = 6000, MOST = 200000, DEEPEST = 3 };

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
    unsigned hook_odds; /* a signal at one of so many steps; 0: none */
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
        roll = (uint32_t)run_seed() + (uint32_t)(m - scene.all) * 77777u;
    roll = roll * 1664525u + 1013904223u;
    if ((roll >> 8) % scene.hook_odds == 0)
        (void)raise(SIGUSR1);
}

static void signalled_work(void *argument, size_t index)
{
    (void)argument;
    member *m = &scene.all[index];
    dice d = dice_make(run_seed(), index);
    scene.threads[index] = pthread_self();
    me = m;
    scene.known[index] = true;
    /* Signals from another thread are not that many: go on until some came. */
    size_t most = scene.hook_odds != 0 ? rounds_for(CALLS) : MOST - MOST / 4;
    for (size_t i = 0; i < most && (scene.hook_odds != 0 || m->handled < 500); i++) {
        size_t bytes = 1 + dice_below(&d, 120), alignment = 1;
        unsigned char *p = tsmbr_allocate(m->r, bytes, alignment);
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
    me = NULL;
    scene.running--;
}

static void *send_signals(void *argument)
{
    (void)argument;
    for (unsigned i = 0; scene.running != 0; i++)
        if (scene.known[i % THREADS] && scene.all[i % THREADS].count < MOST)
            (void)pthread_kill(scene.threads[i % THREADS], SIGUSR2);
    return NULL;
}

/* The threads stay until the sender has ended, so that it never signals one that is gone. */
static void member_main(void *argument, size_t index)
{
    if (index == THREADS) {
        send_signals(NULL);
        pthread_barrier_wait(argument);
        return;
    }
    signalled_work(argument, index);
    pthread_barrier_wait(argument);
}

static void run_scene(unsigned flags, bool try_only, unsigned hook_odds)
{
    memset(scene.all, 0, sizeof scene.all);
    memset(scene.known, 0, sizeof scene.known);
    scene.try_only = try_only;
    scene.hook_odds = hook_odds;
    scene.running = THREADS;
    /* Room for all: nothing goes upstream but the block before the start. */
    tsmbr_init(&scene.r, &(tsmbr_config){.initial_size = 64 << 20, .flags = flags});
    assert_non_null(tsmbr_allocate(&scene.r, 1, 1));
    for (size_t i = 0; i < THREADS; i++) {
        scene.all[i].r = &scene.r;
        scene.all[i].handler_dice = dice_make(run_seed(), 100 + i);
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
    size_t handled = 0, at_work = 0, refused = 0, bytes = 0;
    for (size_t i = 0; i < THREADS; i++) {
        member *m = &scene.all[i];
        for (size_t k = 0; k < m->count; k++) {
            blocks_add(&every, m->got[k].ptr, m->got[k].bytes, dice_roll(&m->handler_dice));
            bytes += m->got[k].bytes;
        }
        handled += m->handled;
        at_work += m->at_work;
        refused += m->refused;
    }
    assert_int_equal(blocks_check(&every), 0);
    assert_int_equal(refused, 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&scene.r, &s);
    assert_true(s.allocated_bytes >= bytes);
    assert_int_equal(s.chunks, 1);
    printf("%zu handlers ran, %zu found their thread at work in its lane\n", handled, at_work);
    assert_true(handled > 100);
    if (hook_odds != 0)
        assert_true(flags == TSMBR_SHARED_ONLY ? at_work == 0 : at_work > 100);
    blocks_free(&every);
    tsmbr_destroy(&scene.r);
}

static void handlers_allocate_by_the_shared_path(void **state)
{
    (void)state;
    (void)run_seed();
    run_scene(TSMBR_SHARED_ONLY, false, 10);
    run_scene(TSMBR_SHARED_ONLY, false, 0);
}

static void handlers_allocate_beside_lanes(void **state)
{
    (void)state;
    (void)run_seed();
    run_scene(0, true, 10);
    run_scene(0, true, 3);
    run_scene(0, true, 0);
}

static void note_slot(void *argument, size_t index)
{
    (void)index;
    for (int i = 0; i < 2; i++)
        assert_non_null(tsmbr_allocate(argument, 1, 1));
    assert_int_equal(tsmbr_thread.standing, THREAD_HOLDS);
    assert_in_range(tsmbr_thread.slot, 0, 1);
}

/* tsmbr_allocate in a handler is not promised to be safe, as a thread's first call asks the system for something;
 * but where that is harmless, as it is here, the lanes are. */
static void handlers_take_no_second_slot(void **state)
{
    (void)state;
    (void)run_seed();
    for (size_t i = 0; i < rounds_for(15); i++)
        run_scene(0, false, 3);
    /* All slots are free but that of this thread, if it has one. */
    scene.hook_odds = 0;
    tsmbr_init(&scene.r, &(tsmbr_config){.initial_size = 1 << 20});
    run_threads(1, note_slot, &scene.r);
    tsmbr_destroy(&scene.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_allocate_by_the_shared_path),
        cmocka_unit_test(handlers_allocate_beside_lanes),
        cmocka_unit_test(handlers_take_no_second_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
