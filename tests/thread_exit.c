/* Blocks taken while a thread ends, and while the process does: in destructors of thread-specific data, round
 * after round of them; in handlers of atexit and in a destructor of the program, while other threads go on. */
#include "lane.h"

#include "support.h"

#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <process.h>
#include <windows.h>
#else
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ------------------------------------------------------------------------------- a thread's end */

enum { KEYS = 5, AT_ONCE = 8, AGAIN = 3, LOG = 200 };
#if defined(_WIN32)
enum { LAST = 4 };
#else
enum { LAST = 0 }; /* blocks taken later than by any destructor */
#endif

typedef struct leaver {
    block log[LOG];
    size_t count;
    size_t calls_left[KEYS]; /* a destructor that sets its key anew is called again, a few times */
    size_t late;             /* blocks taken after the thread gave its slot back */
    size_t faults;
} leaver;

typedef struct ticket {
    leaver *l;
    size_t key;
} ticket;

static struct {
    tsmbr_resource r;
    pthread_key_t keys[KEYS];
    leaver leavers[AT_ONCE];
    ticket tickets[AT_ONCE][KEYS];
} stage;

static void leaver_take(leaver *l, size_t bytes)
{
    void *p = tsmbr_allocate(&stage.r, bytes, 1);
    if (p == NULL || l->count == LOG) {
        l->faults++;
        return;
    }
    l->log[l->count] = (block){p, bytes, l->count + bytes};
    pattern_write(&l->log[l->count++]);
    /* A thread that has given its slot back gets no other. */
    l->faults += tsmbr_thread.standing == THREAD_WITHOUT && tsmbr_thread.group != 0;
    l->late += tsmbr_thread.standing == THREAD_WITHOUT;
}

static void leaver_ends(void *argument)
{
    const ticket *t = argument;
    for (size_t i = 0; i < 3; i++)
        leaver_take(t->l, 20 + i);
    if (t->l->calls_left[t->key]-- > 1)
        t->l->faults += pthread_setspecific(stage.keys[t->key], t) != 0;
}

#if defined(_WIN32)
/* Destructors of winpthreads' run before the library hears of the thread's end. This runs after that. */
static DWORD last_key = TLS_OUT_OF_INDEXES;

static void NTAPI at_thread_end(void *module, DWORD reason, void *reserved)
{
    (void)module;
    (void)reserved;
    leaver *l = reason == DLL_THREAD_DETACH && last_key != TLS_OUT_OF_INDEXES ? TlsGetValue(last_key) : NULL;
    for (size_t i = 0; l != NULL && i < LAST; i++)
        leaver_take(l, 50 + i);
}

/* Behind XLF, the library's. */
__attribute__((__section__(".CRT$XLY"), __used__)) static PIMAGE_TLS_CALLBACK at_thread_end_callback =
    at_thread_end;

static bool last_made(void)
{
    last_key = TlsAlloc();
    return last_key != TLS_OUT_OF_INDEXES;
}

static bool last_set(leaver *l)
{
    return TlsSetValue(last_key, l);
}
#else
static bool last_made(void)
{
    return true;
}

static bool last_set(leaver *l)
{
    (void)l;
    return true;
}
#endif

static void leave(void *argument, size_t index)
{
    (void)argument;
    leaver *l = &stage.leavers[index];
    l->faults += !last_set(l);
    for (size_t k = 0; k < KEYS; k++) {
        stage.tickets[index][k] = (ticket){l, k};
        l->calls_left[k] = AGAIN;
        l->faults += pthread_setspecific(stage.keys[k], &stage.tickets[index][k]) != 0;
    }
    /* Some have no lane before their end. */
    for (size_t i = 0; i < 30 && index % 3 != 0; i++)
        leaver_take(l, 40);
}

static void blocks_of_destructors(void **state)
{
    (void)state;
    assert_true(AGAIN < PTHREAD_DESTRUCTOR_ITERATIONS);
    watch w;
    watch_open(&w);
    tsmbr_init(&stage.r, &(tsmbr_config){.upstream = &w.upstream, .initial_size = 1 << 16});
    assert_true(last_made());
    for (size_t k = 0; k < KEYS; k++)
        assert_int_equal(pthread_key_create(&stage.keys[k], leaver_ends), 0);
    for (size_t round = 0; round < rounds_for(300); round++) {
        memset(stage.leavers, 0, sizeof stage.leavers);
        run_threads(AT_ONCE, leave, NULL);
        blocks all = {0};
        size_t late = 0;
        for (size_t i = 0; i < AT_ONCE; i++) {
            leaver *l = &stage.leavers[i];
            assert_int_equal(l->faults, 0);
            assert_int_equal(l->count, (i % 3 != 0 ? 30 : 0) + KEYS * AGAIN * 3 + LAST);
            late += l->late;
            for (size_t k = 0; k < l->count; k++) {
                assert_true(pattern_intact(&l->log[k]));
                blocks_add(&all, l->log[k].ptr, l->log[k].bytes, l->log[k].pattern);
            }
        }
        assert_true(late > 0);
        assert_int_equal(blocks_check(&all), 0);
        blocks_free(&all);
        tsmbr_reset(&stage.r, SIZE_MAX);
    }
    for (size_t k = 0; k < KEYS; k++)
        (void)pthread_key_delete(stage.keys[k]);
    tsmbr_destroy(&stage.r);
    watch_close(&w);
}

/* ---------------------------------------------------------------------------- the process's end */

static struct {
    tsmbr_resource r;
    block log[1000];
    size_t count;
    size_t refused;
    size_t handlers;
    pid_t child; /* 0: this is the test itself */
    bool others;
    atomic_bool going;
    atomic_size_t others_refused;
} end;

static void end_take(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        block b = {NULL, 10 + i, end.count};
        b.ptr = i % 10 == 9 ? tsmbr_allocate(&end.r, 5000, 8) : tsmbr_allocate(&end.r, b.bytes, 1);
        if (b.ptr == NULL || end.count == sizeof end.log / sizeof *end.log) {
            end.refused++;
            continue;
        }
        pattern_write(&b);
        end.log[end.count++] = b;
    }
}

static void at_exit_handler(void)
{
    end.handlers++;
    end_take(40);
}

static int end_verdict(void)
{
    size_t damaged = 0;
    for (size_t i = 0; i < end.count; i++)
        damaged += !pattern_intact(&end.log[i]);
    if (end.handlers != 3 || end.refused + end.others_refused + damaged != 0) {
        fprintf(stderr, "at exit: %zu handlers ran, %zu and %zu refused, %zu damaged\n", end.handlers, end.refused,
                (size_t)end.others_refused, damaged);
        return 1;
    }
    return 0;
}

/* The program's destructors run after handlers of atexit; the library's own, perhaps before. */
__attribute__((__destructor__)) static void program_ends(void)
{
    if (end.child != getpid())
        return;
    end_take(40);
    int verdict = end_verdict();
    if (!end.others)
        tsmbr_destroy(&end.r);
    _exit(verdict);
}

static void *go_on(void *argument)
{
    (void)argument;
    while (end.child != 0) {
        unsigned char *p = tsmbr_allocate(&end.r, 20, 1);
        if (p == NULL)
            end.others_refused++;
        else
            p[0] = p[19] = 1;
        end.going = true;
        sched_yield();
    }
    return NULL;
}

/* What the child does; it ends with its destructor's verdict. */
static _Noreturn void end_child(bool others)
{
    end.child = getpid();
    end.others = others;
    tsmbr_init(&end.r, &(tsmbr_config){.initial_size = 1 << 18});
    for (int i = 0; i < 3; i++)
        if (atexit(at_exit_handler) != 0)
            _exit(2);
    end_take(20);
    pthread_t thread;
    for (int i = 0; others && i < 3; i++)
        if (pthread_create(&thread, NULL, go_on, NULL) != 0 || pthread_detach(thread) != 0)
            _exit(3);
    while (others && !end.going)
        sched_yield();
    exit(4); /* what it is without the destructor's verdict */
}

#if defined(_WIN32)
static const char *self;

/* No fork there: this program again. */
static void end_process(bool others)
{
    assert_int_equal(_spawnl(_P_WAIT, self, self, others ? "end-with-others" : "end", (char *)NULL), 0);
}
#else
static void end_process(bool others)
{
    (void)fflush(stdout);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0)
        end_child(others);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}
#endif

static void blocks_of_exit_handlers(void **state)
{
    (void)state;
    end_process(false);
}

static void threads_go_on_while_the_process_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < rounds_for(50); i++)
        end_process(true);
}

int main(int count, char **arguments)
{
#if defined(_WIN32)
    self = arguments[0];
    if (count == 2)
        end_child(strcmp(arguments[1], "end") != 0);
#else
    (void)count;
    (void)arguments;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_destructors),
        cmocka_unit_test(blocks_of_exit_handlers),
        cmocka_unit_test(threads_go_on_while_the_process_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
