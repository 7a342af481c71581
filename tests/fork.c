/* fork from a program whose threads are in the middle of calls: stopped before any step of the library or of the
 * upstream, and anywhere. The child has the thread that forked and no other; it goes on with every resource. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif

#include "hook.h"

#include "lane.h"
#include "resource.h"

#include "sanitizers.h"
#include "support.h"

#include <stdio.h>

#if defined(_WIN32)
void hook(const char *step)
{
    (void)step;
}

int main(void)
{
    puts("fork: this system has none; nothing was tested");
    return 77; /* skipped */
}
#else

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#if UNDER_TSAN
#define CHILD_HAS_THREADS false /* its runtime forbids them there */
#else
#define CHILD_HAS_THREADS true
#endif

/* The C library's malloc is known to stand a fork while other threads are in it; a sanitizer's is not. */
#if !defined(__GLIBC__) || UNDER_TSAN || UNDER_ASAN || UNDER_MSAN
#define MALLOC_STANDS_A_FORK false
#else
#define MALLOC_STANDS_A_FORK true
#endif

enum { WORKERS = 3, LOG = 1000, FORKS = 25, CHILD_LOG = 600 };

/* What rounds take turns with. */
enum turn { PLAIN, NO_LANES, CALLERS_BUFFER, DEFAULT_UPSTREAM, UNDER_A_LIMIT, TURNS };
enum { AMPLE = 8 << 20 }; /* the limit: of no concern before a child has used it up */

/* What a thread got, noted after it was written: in a child, what it had got before the fork. */
typedef struct worker {
    dice d;
    block log[LOG];
    atomic_size_t count;
    atomic_bool in_call;
    atomic_uint slot; /* SLOTS: none */
} worker;

static struct {
    tsmbr_resource r;
    worker workers[WORKERS];
    block own[CHILD_LOG]; /* a child's */
    atomic_size_t own_count;
    bool at_steps;
    atomic_size_t done; /* forks of this round */
    atomic_bool over;
    pthread_barrier_t stopped, go;
    atomic_size_t registered, cleaned;
    enum turn turn;
    atomic_size_t live, held; /* of the upstream */
    size_t limit, gone;       /* bytes held for good by threads that have vanished do not count under it */
    atomic_size_t faults;
    size_t forks;
    size_t met; /* threads that a fork met in a call */
} stage;

/* ------------------------------------------------------------------------ threads at their work -- */

static _Thread_local size_t steps_to_go; /* 0: it does not stop */

void hook(const char *step)
{
    (void)step;
    if (steps_to_go == 0 || --steps_to_go != 0)
        return;
    pthread_barrier_wait(&stage.stopped);
    pthread_barrier_wait(&stage.go);
}

/* Mappings have no lock that another thread could hold at the fork; what the default upstream has is malloc's to
 * answer for. */
static void *turn_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    hook("upstream");
    void *p = NULL;
    if (stage.turn == DEFAULT_UPSTREAM) {
        const tsmbr_upstream *u = tsmbr_system_upstream();
        p = u->allocate(u->context, bytes, alignment);
    } else {
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p = p != MAP_FAILED ? p : NULL;
    }
    if (p == NULL)
        return NULL;
    stage.live++;
    size_t held = atomic_fetch_add(&stage.held, bytes) + bytes;
    stage.faults += stage.limit != 0 && held - stage.gone > stage.limit;
    hook("upstream");
    return p;
}

static void turn_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    hook("upstream");
    stage.live--;
    stage.held -= bytes;
    if (stage.turn == DEFAULT_UPSTREAM) {
        const tsmbr_upstream *u = tsmbr_system_upstream();
        u->deallocate(u->context, ptr, bytes, alignment);
    } else {
        (void)munmap(ptr, bytes);
    }
}

static const tsmbr_upstream turn_upstream = {turn_allocate, turn_deallocate, NULL};

static void clean(void *argument)
{
    (void)argument;
    stage.cleaned++;
}

static void note(block *log, atomic_size_t *count, size_t room, void *ptr, size_t bytes, uint64_t pattern)
{
    size_t at = *count;
    if (ptr == NULL || at >= room) {
        stage.faults += ptr == NULL;
        return;
    }
    log[at] = (block){ptr, bytes, pattern};
    pattern_write(&log[at]);
    *count = at + 1;
}

static void one_call(worker *w, tsmbr_lane *run)
{
    size_t kind = dice_below(&w->d, 100), bytes = 1 + dice_below(&w->d, 100);
    void *p = NULL;
    if (kind < 5) {
        stage.registered += tsmbr_on_release(&stage.r, clean, NULL) == 0;
        return;
    }
    if (kind < 15) {
        p = tsmbr_lane_allocate(run, bytes, 1);
    } else if (kind < 25) {
        p = tsmbr_allocate(&stage.r, bytes, 8);
        size_t now = 1 + dice_below(&w->d, 200);
        if (p != NULL && tsmbr_try_resize(&stage.r, p, bytes, now))
            bytes = now;
    } else {
        bytes = kind < 27 ? 3000 : kind < 28 ? 20000 : bytes;
        p = tsmbr_allocate(&stage.r, bytes, 1);
    }
    note(w->log, &w->count, LOG, p, bytes, dice_roll(&w->d));
    w->slot = tsmbr_thread.group != 0 ? tsmbr_thread.slot : SLOTS;
}

/* The last block longer and as it was, if it is its lane's last. */
static void idle_calls(const worker *w)
{
    if (w->count == 0)
        return;
    const block *last = &w->log[w->count - 1];
    for (int i = 0; i < 20; i++)
        if (tsmbr_try_resize(&stage.r, last->ptr, last->bytes, last->bytes + 8))
            (void)tsmbr_try_resize(&stage.r, last->ptr, last->bytes + 8, last->bytes);
}

static void work(worker *w)
{
    tsmbr_lane run;
    tsmbr_lane_open(&run, &stage.r);
    if (stage.at_steps) {
        for (int i = 0; i < FORKS; i++) {
            steps_to_go = 1 + dice_below(&w->d, 80);
            w->in_call = true;
            while (steps_to_go != 0)
                one_call(w, &run);
            w->in_call = false;
        }
    } else {
        /* So many calls a fork, or all would be made before the second one; then such that take nothing. */
        for (size_t i = 0; !stage.over; i++) {
            w->in_call = true;
            if (w->count < LOG * (stage.done + 1) / FORKS)
                one_call(w, &run);
            else
                idle_calls(w);
            w->in_call = false;
            if (i % 64 == 0)
                sched_yield();
        }
    }
    tsmbr_lane_close(&run);
}

/* -------------------------------------------------------------------------------- in the child -- */

static void own_block(tsmbr_lane *run, size_t i)
{
    size_t bytes = i % 100 == 99 ? 20000 : i % 30 == 29 ? 3000 : 1 + i % 120;
    void *p = i % 7 == 3 ? tsmbr_lane_allocate(run, bytes, 8) : tsmbr_allocate(&stage.r, bytes, 1);
    note(stage.own, &stage.own_count, CHILD_LOG, p, bytes, ~(uint64_t)i);
}

static void own_blocks(void)
{
    tsmbr_lane run;
    tsmbr_lane_open(&run, &stage.r);
    for (size_t i = 0; i < 150; i++)
        own_block(&run, i);
    tsmbr_lane_close(&run);
}

/* A thread that begins in the child gets no slot of one that has vanished. */
static void *child_thread(void *argument)
{
    (void)argument;
    own_blocks();
    for (int i = 0; i < WORKERS; i++)
        stage.faults += tsmbr_thread.group != 0 && tsmbr_thread.slot == stage.workers[i].slot;
    return NULL;
}

static bool all_intact(void)
{
    for (int i = 0; i < WORKERS; i++)
        for (size_t k = 0; k < stage.workers[i].count; k++)
            if (!pattern_intact(&stage.workers[i].log[k]))
                return false;
    for (size_t k = 0; k < stage.own_count; k++)
        if (!pattern_intact(&stage.own[k]))
            return false;
    return true;
}

/* Bytes of blocks that the resource still serves. */
static size_t fill(size_t limit, size_t bytes)
{
    size_t served = 0;
    while (served <= limit && tsmbr_allocate(&stage.r, bytes, 1) != NULL)
        served += bytes;
    return served;
}

/* What is wrong in the child; NULL: nothing. */
static const char *child_finds(size_t generation)
{
    stage.own_count = 0;
    stage.faults = 0;
    own_blocks();
    if (CHILD_HAS_THREADS) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, child_thread, NULL) != 0 || pthread_join(thread, NULL) != 0)
            return "no thread";
    }
    if (stage.faults != 0)
        return "a refusal, or the slot of a thread that has vanished";
    if (!all_intact())
        return "an overlap";
    if (generation < 2 && stage.forks % 8 == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(child_finds(generation + 1) != NULL);
        int status = -1;
        if (waitpid(grandchild, &status, 0) != grandchild || status != 0)
            return "a fault in its own child";
    }
    size_t registered = stage.registered;
    tsmbr_reset(&stage.r, SIZE_MAX);
    if (stage.cleaned < registered || stage.cleaned > registered + WORKERS)
        return "cleanups lost";
    for (int i = 0; i < WORKERS; i++)
        stage.workers[i].count = 0; /* their blocks have ended */
    stage.own_count = 0;
    own_blocks();
    if (stage.faults != 0 || !all_intact())
        return "an overlap after a reset";
    tsmbr_release(&stage.r);
    /* What a vanished thread had from the upstream and not yet published is the child's loss. */
    if (stage.live > WORKERS)
        return "chunks not given back";
    stage.own_count = 0;
    stage.gone = stage.held;
    own_blocks();
    if (stage.faults != 0 || !all_intact())
        return "an overlap after release";
    if (stage.limit != 0 && fill(stage.limit, 10000) < stage.limit / 10 * 8)
        return "less than the limit after release";
    if (stage.faults != 0)
        return "more than the limit";
    return NULL;
}

/* The child says by its status how many threads were in calls, as its copy of them knows. */
static void fork_once(void)
{
    stage.forks++;
    pid_t child = fork();
    if (child == 0) {
        int met = 0;
        for (int i = 0; i < WORKERS; i++)
            met += stage.workers[i].in_call;
        const char *wrong = child_finds(0);
        if (wrong != NULL)
            fprintf(stderr, "fork %zu: the child found %s\n", stage.forks, wrong);
        _exit(wrong != NULL ? WORKERS + 1 : met);
    }
    int status = -1;
    if (child == -1 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) > WORKERS)
        stage.faults++;
    else
        stage.met += (size_t)WEXITSTATUS(status);
    stage.done++;
}

static void member(void *argument, size_t index)
{
    (void)argument;
    if (index != 0) {
        work(&stage.workers[index - 1]);
        return;
    }
    /* The thread that forks has a lane, too, and is not the main one. */
    for (int i = 0; i < 3; i++)
        stage.faults += tsmbr_allocate(&stage.r, 10, 1) == NULL;
    for (int i = 0; i < FORKS; i++) {
        if (stage.at_steps)
            pthread_barrier_wait(&stage.stopped);
        else
            for (int k = 0; k < 20; k++)
                sched_yield();
        if (stage.faults == 0)
            fork_once();
        if (stage.at_steps)
            pthread_barrier_wait(&stage.go);
    }
    stage.over = true;
}

static void fork_often(bool at_steps, size_t rounds)
{
    stage.at_steps = at_steps;
    stage.forks = stage.met = 0;
    for (size_t round = 0; round < rounds; round++) {
        static unsigned char buffer[50000];
        stage.turn = (enum turn)(round % TURNS);
        if (stage.turn == DEFAULT_UPSTREAM && !MALLOC_STANDS_A_FORK)
            stage.turn = PLAIN;
        stage.limit = stage.turn == UNDER_A_LIMIT ? AMPLE : 0;
        tsmbr_config config = {.upstream = &turn_upstream, .limit = stage.limit};
        config.initial_size = round % 3 == 0 ? 0 : (size_t)20000 << round % 3;
        if (stage.turn == NO_LANES)
            config.flags = TSMBR_SHARED_ONLY;
        if (stage.turn == CALLERS_BUFFER) {
            config.buffer = buffer;
            config.buffer_size = sizeof buffer;
        }
        if (stage.turn == DEFAULT_UPSTREAM && round % 3 == 1)
            config.initial_size = (size_t)3 << 20; /* a mapping, then */
        tsmbr_init(&stage.r, &config);
        stage.over = false;
        stage.done = 0;
        stage.registered = stage.cleaned = 0;
        for (size_t i = 0; i < WORKERS; i++) {
            stage.workers[i].d = dice_make(run_seed(), (at_steps ? 1000 : 0) + round * WORKERS + i);
            stage.workers[i].count = 0;
            stage.workers[i].slot = SLOTS;
        }
        pthread_barrier_init(&stage.stopped, NULL, WORKERS + 1);
        pthread_barrier_init(&stage.go, NULL, WORKERS + 1);
        run_threads(WORKERS + 1, member, NULL);
        pthread_barrier_destroy(&stage.go);
        pthread_barrier_destroy(&stage.stopped);
        assert_int_equal(stage.faults, 0);
        stage.own_count = 0;
        assert_true(all_intact());
        tsmbr_statistics s;
        tsmbr_get_statistics(&stage.r, &s);
        assert_int_equal(s.reserved_bytes, stage.held);
        tsmbr_destroy(&stage.r);
        assert_int_equal(stage.cleaned, stage.registered);
        assert_int_equal(stage.live, 0);
    }
    stage.turn = PLAIN;
    stage.limit = 0;
}

/* More than two thousand forks, these two together. */
static void the_child_goes_on_from_any_step(void **state)
{
    (void)state;
    (void)run_seed();
    size_t rounds = rounds_for(60);
    fork_often(true, rounds);
    printf("%zu forks with threads stopped at steps\n", stage.forks);
    assert_int_equal(stage.forks, rounds * FORKS);
    assert_int_equal(stage.met, stage.forks * WORKERS);
}

static void the_child_goes_on_from_anywhere(void **state)
{
    (void)state;
    (void)run_seed();
    size_t rounds = rounds_for(30);
    fork_often(false, rounds);
    printf("%zu forks with threads running, which met %zu in calls\n", stage.forks, stage.met);
    assert_int_equal(stage.forks, rounds * FORKS);
    assert_true(stage.met > 0);
}

/* ---------------------------------------------------------------------------------- generations -- */

enum { GENERATIONS = 8, EACH = 40 };

static struct {
    tsmbr_resource r;
    atomic_uint holders[SLOTS]; /* in this process and those it came from */
    atomic_size_t without;
    atomic_size_t faults;
} family;

typedef struct brood {
    pthread_t threads[EACH];
    pthread_barrier_t have_slots, end;
} brood;

static void *brood_member(void *argument)
{
    brood *b = argument;
    for (int i = 0; i < 3 || (tsmbr_thread.group == 0 && i < 50); i++)
        family.faults += tsmbr_allocate(&family.r, 1, 1) == NULL;
    if (tsmbr_thread.group != 0)
        family.faults += family.holders[tsmbr_thread.slot]++ != 0;
    else
        family.without++;
    pthread_barrier_wait(&b->have_slots);
    pthread_barrier_wait(&b->end);
    return NULL;
}

static size_t family_holders(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        sum += family.holders[i];
    return sum;
}

static bool generation_lives(int generation)
{
    brood b;
    pthread_barrier_init(&b.have_slots, NULL, EACH + 1);
    pthread_barrier_init(&b.end, NULL, EACH + 1);
    for (int i = 0; i < EACH; i++)
        if (pthread_create(&b.threads[i], NULL, brood_member, &b) != 0)
            return false;
    pthread_barrier_wait(&b.have_slots);
    /* Whoever could not have one came when all were taken. */
    bool good = family.faults == 0 && (family.without == 0 || family_holders() == SLOTS);
    int status = 0;
    if (good && generation + 1 < GENERATIONS) {
        pid_t child = fork();
        if (child == 0)
            _exit(!generation_lives(generation + 1));
        good = child != -1 && waitpid(child, &status, 0) == child && status == 0;
    } else {
        good = good && family.without != 0;
    }
    pthread_barrier_wait(&b.end);
    for (int i = 0; i < EACH; i++)
        good = pthread_join(b.threads[i], NULL) == 0 && good;
    return good;
}

static void generations_use_up_the_slots(void **state)
{
    (void)state;
    if (!CHILD_HAS_THREADS) {
        print_message("the sanitizer's runtime forbids threads in a forked child\n");
        skip();
    }
    tsmbr_init(&family.r, &(tsmbr_config){.upstream = &turn_upstream, .initial_size = 1 << 22});
    for (int i = 0; i < 3; i++)
        assert_non_null(tsmbr_allocate(&family.r, 1, 1));
    family.holders[tsmbr_thread.slot]++;
    assert_true(generation_lives(0));
    assert_int_equal(family_holders(), 1 + EACH);
    tsmbr_destroy(&family.r);
}

/* ------------------------------------------------------------------------------- under a limit -- */

enum { LIMIT = 400000, ASKED = 100000, ASKERS = 3 };

static void *ask_much(void *argument)
{
    steps_to_go = SIZE_MAX;
    *(void *volatile *)argument = tsmbr_allocate(&stage.r, ASKED, 1);
    return NULL;
}

/* Stops the threads that ask for much in the upstream, after they have the memory. */
static void *stopping_allocate(void *context, size_t bytes, size_t alignment)
{
    void *p = turn_allocate(context, bytes, alignment);
    if (bytes >= ASKED && steps_to_go != 0) {
        pthread_barrier_wait(&stage.stopped);
        pthread_barrier_wait(&stage.go);
    }
    return p;
}

/* `asked`: bytes that others have or are asking for; `lost`: how many chunks of them will never be given back. */
static const char *limited_child_finds(size_t asked, size_t lost)
{
    size_t served = fill(LIMIT, 1000);
    if (served > LIMIT - asked || served < (LIMIT - asked) / 10 * 8)
        return "another share of the limit than is left";
    tsmbr_release(&stage.r);
    if (stage.live != lost)
        return "chunks not given back";
    served = fill(LIMIT, 1000);
    if (served > LIMIT || served < LIMIT / 10 * 8)
        return "less than the limit after release";
    return NULL;
}

/* A child, and a child of its own, whose parent has done nothing else. */
static void fork_limited(size_t asked, size_t lost)
{
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        const char *wrong = limited_child_finds(asked, lost);
        if (wrong != NULL)
            fprintf(stderr, "under a limit, with %zu bytes taken, a child found %s\n", asked, wrong);
        int status = 0;
        if (grandchild != 0 && (waitpid(grandchild, &status, 0) != grandchild || status != 0))
            wrong = "a fault in its own child";
        _exit(wrong != NULL);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Bytes that vanished threads were asking for count under the limit, and come back with a release. */
static void bytes_asked_for_count_in_the_child(void **state)
{
    (void)state;
    const tsmbr_upstream upstream = {stopping_allocate, turn_deallocate, NULL};
    tsmbr_init(&stage.r, &(tsmbr_config){.upstream = &upstream, .limit = LIMIT});
    assert_non_null(tsmbr_allocate(&stage.r, 1, 1));
    pthread_barrier_init(&stage.stopped, NULL, 2);
    pthread_barrier_init(&stage.go, NULL, ASKERS + 1);
    pthread_t threads[ASKERS];
    void *got[ASKERS] = {NULL};
    for (size_t i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_much, &got[i]), 0);
        pthread_barrier_wait(&stage.stopped);
        fork_limited((i + 1) * ASKED, i + 1);
    }
    pthread_barrier_wait(&stage.go);
    for (size_t i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_non_null(got[i]);
    }
    /* Nobody vanishes: their blocks are there, and go with the release. */
    fork_limited(ASKERS * ASKED, 0);
    tsmbr_destroy(&stage.r);
    assert_int_equal(stage.live, 0);
    pthread_barrier_destroy(&stage.go);
    pthread_barrier_destroy(&stage.stopped);
}

int main(void)
{
    if (emulator() != NULL) {
        puts("fork: a process of threads cannot fork under qemu-user; nothing was tested");
        return 77; /* skipped */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_child_goes_on_from_any_step),
        cmocka_unit_test(the_child_goes_on_from_anywhere),
        cmocka_unit_test(generations_use_up_the_slots),
        cmocka_unit_test(bytes_asked_for_count_in_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
