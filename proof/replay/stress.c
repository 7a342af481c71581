/* stress.c - one recorded run, from a seed: stress SEED.
 *
 * Rounds of threads that allocate, resize and register cleanups as fast as they can, through the ends of
 * chunks, over an upstream that sometimes refuses. Between rounds, at rest, every word is written down, and
 * a reset keeps some chunks. The seed picks the kind of run, and the dice. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

enum { THREADS = 8, ROUNDS = 4, CALLS = 12 };

typedef struct kind {
    size_t initial;  /* 0: default */
    size_t buffer;   /* bytes of caller's storage */
    size_t limit;    /* 0: none */
    size_t keep;     /* by a reset */
    unsigned refuse; /* the upstream refuses one request in so many; 0: none */
    unsigned flags;
    int threads; /* of THREADS, so many make calls */
} kind;

static const kind kinds[] = {
    {0, 0, 0, SIZE_MAX, 0, TSMBR_SHARED_ONLY, 8},
    {6000, 0, 0, SIZE_MAX, 0, 0, 2},
    {0, 700, 0, 20000, 4, TSMBR_SHARED_ONLY, 8},
    {300, 0, 10000, SIZE_MAX, 9, TSMBR_SHARED_ONLY, 8},
    {200, 0, 0, SIZE_MAX, 3, 0, 8},
    {9000, 4000, 0, 30000, 5, 0, 3},
};

static tsmbr_resource arena;
static const kind *shape;
static unsigned seed;
static int round_now;
static pthread_barrier_t start;

/* ---------------------------------------------------------------------------- upstream -- */

/* Memory no better aligned than it must be; where it came from stands before it. */
static void *grant(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    unsigned char *block = NULL;
    if (shape->refuse == 0 || record_roll() % shape->refuse != 0) {
        size_t shift = sizeof(void *) + record_roll() % 64;
        unsigned char *memory = malloc(bytes + shift);
        if (memory == NULL)
            abort();
        block = memory + shift / sizeof(void *) * sizeof(void *);
        memcpy(block - sizeof(void *), &memory, sizeof(void *));
    }
    (void)sched_yield(); /* others meet the end of the chunk meanwhile */
    record_grant((size_t)block, bytes);
    return block;
}

static size_t given[4096];
static size_t given_count;

static void take_back(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    if (record_thread < 0)
        given[given_count++] = (size_t)ptr;
    record_back((size_t)ptr, bytes);
    unsigned char *memory;
    memcpy(&memory, (unsigned char *)ptr - sizeof(void *), sizeof(void *));
    free(memory);
}

/* ------------------------------------------------------------------------------- calls -- */

/* The linker sends calls of these here, those by tsmbr_on_release and by lanes, too. */
void *__real_tsmbr_allocate(tsmbr_resource *self, size_t bytes, size_t alignment);
void *__wrap_tsmbr_allocate(tsmbr_resource *self, size_t bytes, size_t alignment);
void *__real_tsmbr_try_allocate(tsmbr_resource *self, size_t bytes, size_t alignment);
void *__wrap_tsmbr_try_allocate(tsmbr_resource *self, size_t bytes, size_t alignment);

/* The record being registered: tsmbr_on_release registers what it has allocated. */
static _Thread_local size_t *registering;

/* An explicit lane, which the machine has as a thread of its own, with a slot that no thread can have. */
enum { FIRST_LANE = 2 * THREADS, FIRST_LANE_SLOT = 1000 };
static _Thread_local struct {
    tsmbr_lane lane;
    bool is_open;
    bool serving; /* a call is recorded that has not returned */
} mine;

/* What the lane has tried was a call of its own, and what comes is one of its thread. */
static void lane_has_failed(void)
{
    if (!mine.serving)
        return;
    record_say("return 0");
    mine.serving = false;
    record_thread -= FIRST_LANE;
}

void *__wrap_tsmbr_allocate(tsmbr_resource *self, size_t bytes, size_t alignment)
{
    lane_has_failed();
    record_say("call allocate %zu %zu 1", bytes, alignment);
    void *block = __real_tsmbr_allocate(self, bytes, alignment);
    record_say("return %zu", (size_t)block);
    if (registering != NULL && block != NULL) {
        *registering = (size_t)block;
        record_say("call register %zu", (size_t)block);
    }
    return block;
}

/* A table of lanes: the library allocates for itself, while it serves this thread. */
void *__real_tsmbr_resource_carve(resource *r, size_t bytes, size_t alignment);
void *__wrap_tsmbr_resource_carve(resource *r, size_t bytes, size_t alignment);

void *__wrap_tsmbr_resource_carve(resource *r, size_t bytes, size_t alignment)
{
    record_thread += THREADS;
    record_say("call allocate %zu %zu 0", bytes, alignment);
    void *block = __real_tsmbr_resource_carve(r, bytes, alignment);
    record_say("return %zu", (size_t)block);
    record_thread -= THREADS;
    return block;
}

static size_t ran[THREADS * THREADS * ROUNDS * CALLS];
static size_t ran_count;

static void cleanup_ran(void *record)
{
    ran[ran_count++] = *(size_t *)record;
}

/* By round, thread and call: the record of the cleanup registered there. */
static size_t records[ROUNDS][THREADS][CALLS * THREADS];

static void call_on_release(size_t *record)
{
    registering = record;
    if (tsmbr_on_release(&arena, cleanup_ran, record) == 0)
        record_say("return 1");
    registering = NULL;
}

void *__wrap_tsmbr_try_allocate(tsmbr_resource *self, size_t bytes, size_t alignment)
{
    lane_has_failed();
    record_say("call allocate %zu %zu 0", bytes, alignment);
    void *block = __real_tsmbr_try_allocate(self, bytes, alignment);
    record_say("return %zu", (size_t)block);
    return block;
}

/* A block from the explicit lane, whose owner moves its ends without a step: they are written down as stores. */
static void *call_lane_allocate(size_t bytes, size_t alignment)
{
    int me = record_thread;
    record_thread = FIRST_LANE + me;
    record_say("call allocate %zu %zu 0", bytes, alignment);
    if (!mine.is_open) {
        tsmbr_lane_open(&mine.lane, &arena);
        record_say("cas slots %d", FIRST_LANE_SLOT + record_thread);
    }
    mine.is_open = mine.serving = true;
    void *block = tsmbr_lane_allocate(&mine.lane, bytes, alignment);
    record_thread = FIRST_LANE + me;
    record_say("store lane_cursor %zu", (size_t)mine.lane.cursor);
    record_say("store lane_end %zu", (size_t)mine.lane.end);
    if (mine.serving)
        record_say("return %zu", (size_t)block);
    mine.serving = false;
    record_thread = me;
    return block;
}

static void lane_close(void)
{
    if (!mine.is_open)
        return;
    record_thread += FIRST_LANE;
    tsmbr_lane_close(&mine.lane);
    record_say("closed");
    record_say("slot back");
    mine.is_open = false;
    record_thread -= FIRST_LANE;
}

static bool call_try_resize(void *block, size_t before, size_t bytes)
{
    record_say("call resize %zu %zu %zu", (size_t)block, before, bytes);
    bool resized = tsmbr_try_resize(&arena, block, before, bytes);
    record_say("return %d", resized ? 1 : 0);
    return resized;
}

static size_t dice(size_t from, size_t to)
{
    return from + record_roll() % (to - from + 1);
}

static void *thread_run(void *argument)
{
    int me = (int)(size_t)argument;
    record_thread = me;
    record_dice = seed * 64007u + (unsigned)(round_now * THREADS + me) * 9176u + 1;
    (void)pthread_barrier_wait(&start);
    void *last = NULL; /* its latest block */
    size_t bytes = 0;
    for (int i = 0; me < shape->threads && i < CALLS * THREADS / shape->threads; i++) {
        size_t what = dice(0, 99);
        if (last != NULL && what < 40) {
            size_t other = what % 2 == 0 ? dice(1, bytes) : bytes + dice(0, 40);
            if (call_try_resize(last, bytes, other))
                bytes = other;
        } else if (what < 55) {
            call_on_release(&records[round_now][me][i]);
        } else {
            size_t old = bytes;
            void *block;
            if (what < 62)
                block = tsmbr_allocate(&arena, bytes = dice(700, 3000), 8);
            else if (what < 63)
                block = tsmbr_allocate(&arena, bytes = SIZE_MAX - dice(0, 100), 1);
            else if (what < 70)
                block = tsmbr_try_allocate(&arena, bytes = dice(1, 200), 16);
            else if (what < (shape->flags != 0 ? 80 : 73))
                block = call_lane_allocate(bytes = dice(1, 40), (size_t)1 << dice(0, 3));
            else if (shape->flags == 0 && what < 98)
                block = tsmbr_allocate(&arena, bytes = dice(1, 40), (size_t)1 << dice(0, 3)); /* by lanes */
            else
                block = tsmbr_allocate(&arena, bytes = dice(1, 150), (size_t)1 << dice(0, 6));
            if (block != NULL)
                last = block;
            else
                bytes = old;
            if (what % 8 == 0)
                lane_close();
        }
    }
    lane_close();
    return NULL;
}

/* ------------------------------------------------------------------------------ a run -- */

static void numbers(const size_t *values, size_t count)
{
    printf(" |");
    for (size_t i = 0; i < count; i++)
        printf(" %zu", values[i]);
}

static void reset(size_t keep)
{
    given_count = ran_count = 0;
    tsmbr_reset(&arena, keep);
    printf("reset");
    record_kept();
    numbers(given, given_count);
    numbers(ran, ran_count);
    printf("\n");
    record_rest();
}

int main(int count, char **arguments)
{
    static unsigned char buffer[4096];
    seed = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 0;
    shape = &kinds[seed % (sizeof kinds / sizeof *kinds)];
    tsmbr_upstream upstream = {grant, take_back, NULL};
    tsmbr_config config = {&upstream, shape->initial, NULL, shape->buffer, shape->limit, shape->flags};
    if (shape->buffer != 0)
        config.buffer = buffer + 1 + seed % 100;
    if (tsmbr_init(&arena, &config) != 0)
        abort();
    record_begin(&arena, THREADS, &config);
    if (pthread_barrier_init(&start, NULL, THREADS) != 0)
        abort();
    for (round_now = 0; round_now < ROUNDS; round_now++) {
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++)
            if (pthread_create(&threads[i], NULL, thread_run, (void *)i) != 0)
                abort();
        for (size_t i = 0; i < THREADS; i++)
            (void)pthread_join(threads[i], NULL);
        record_rest();
        reset(round_now < ROUNDS - 1 ? shape->keep : 0);
    }
    tsmbr_destroy(&arena);
    return fflush(stdout) == 0 ? 0 : 1;
}
