#include "support.h"
#include "sanitizers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(_WIN32)
#include <malloc.h>
#endif

/* --------------------------------------------------------------------- a watching upstream -- */

struct watch_block {
    struct watch_block *next;
    void *memory; /* from malloc */
    void *granted;
    size_t bytes;
    size_t alignment;
};

static bool watch_refuses(watch *w, size_t bytes)
{
    ++w->calls;
    w->last_bytes = bytes;
    return (w->fail_call != 0 && w->calls >= w->fail_call && w->calls - w->fail_call <= w->fail_more) ||
           (w->fail_every != 0 && w->calls % w->fail_every == 0) ||
           (w->refuse_above != 0 && bytes > w->refuse_above) || (w->budget != 0 && bytes > w->budget - w->held);
}

static void *watch_allocate(void *context, size_t bytes, size_t alignment)
{
    watch *w = context;
    void *granted = NULL;
    pthread_mutex_lock(&w->mutex);
    if (!watch_refuses(w, bytes)) {
        struct watch_block *b = malloc(sizeof *b);
        unsigned char *memory = bytes <= SIZE_MAX / 2 ? malloc(bytes + w->misalign + 64 + alignment) : NULL;
        if (b == NULL || memory == NULL) {
            free(b);
            free(memory);
        } else {
            /* On a line, so that what a chunk serves does not depend on malloc's mood. */
            size_t line = alignment > 64 ? alignment : 64;
            granted = memory + (line - (uintptr_t)memory % line) % line + w->misalign;
            *b = (struct watch_block){w->first, memory, granted, bytes, alignment};
            w->first = b;
            w->grants++;
            w->held += bytes;
            w->live++;
            w->peak = w->held > w->peak ? w->held : w->peak;
            w->most_live = w->live > w->most_live ? w->live : w->most_live;
        }
    }
    pthread_mutex_unlock(&w->mutex);
    errno = EIO; /* as any upstream may, whatever it answers */
    if (granted != NULL)
        memset(granted, 0xA5, bytes < 256 ? bytes : 256);
    return granted;
}

static void watch_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    watch *w = context;
    pthread_mutex_lock(&w->mutex);
    struct watch_block **link = &w->first;
    while (*link != NULL && (*link)->granted != ptr)
        link = &(*link)->next;
    struct watch_block *b = *link;
    if (b == NULL || b->bytes != bytes || b->alignment != alignment) {
        w->errors++;
        fprintf(stderr, "returned to the upstream: %p of %zu bytes at alignment %zu: %s\n", ptr, bytes, alignment,
                b == NULL ? "never granted, or returned before" : "granted with another size or alignment");
    } else {
        *link = b->next;
        w->returns++;
        w->held -= bytes;
        w->live--;
        free(b->memory);
        free(b);
    }
    pthread_mutex_unlock(&w->mutex);
}

void watch_open(watch *w)
{
    memset(w, 0, sizeof *w);
    w->upstream = (tsmbr_upstream){watch_allocate, watch_deallocate, w};
    pthread_mutex_init(&w->mutex, NULL);
}

bool watch_granted(watch *w, const void *ptr, size_t bytes)
{
    bool found = false;
    pthread_mutex_lock(&w->mutex);
    for (const struct watch_block *b = w->first; b != NULL && !found; b = b->next) {
        uintptr_t start = (uintptr_t)b->granted, at = (uintptr_t)ptr;
        found = at >= start && at - start <= b->bytes && bytes <= b->bytes - (at - start);
    }
    pthread_mutex_unlock(&w->mutex);
    return found;
}

void watch_close(watch *w)
{
    pthread_mutex_destroy(&w->mutex);
    assert_int_equal(w->errors, 0);
    assert_int_equal(w->live, 0);
    assert_int_equal(w->held, 0);
    assert_int_equal(w->grants, w->returns);
}

/* ------------------------------------------------------------------------------- threads -- */

typedef struct thread_start {
    void (*function)(void *, size_t);
    void *argument;
    size_t index;
    pthread_barrier_t *barrier;
} thread_start;

static void *thread_main(void *start)
{
    thread_start *t = start;
    pthread_barrier_wait(t->barrier);
    t->function(t->argument, t->index);
    return NULL;
}

void run_threads(size_t count, void (*function)(void *, size_t), void *argument)
{
    pthread_t *threads = calloc(count, sizeof *threads);
    thread_start *starts = calloc(count, sizeof *starts);
    pthread_barrier_t barrier;
    assert_non_null(threads);
    assert_non_null(starts);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, (unsigned)count), 0);
    for (size_t i = 0; i < count; i++) {
        starts[i] = (thread_start){function, argument, i, &barrier};
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &starts[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&barrier);
    free(starts);
    free(threads);
}

typedef struct rounds_start {
    size_t rounds;
    void (*work)(void *, size_t, size_t);
    void (*at_rest)(void *, size_t);
    void *argument;
    pthread_barrier_t barrier;
} rounds_start;

static void rounds_member(void *argument, size_t index)
{
    rounds_start *s = argument;
    for (size_t round = 0; round < s->rounds; round++) {
        pthread_barrier_wait(&s->barrier);
        s->work(s->argument, index, round);
        if (pthread_barrier_wait(&s->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            s->at_rest(s->argument, round);
    }
}

void run_rounds(size_t count, size_t rounds, void (*work)(void *, size_t, size_t), void (*at_rest)(void *, size_t),
                void *argument)
{
    rounds_start s = {.rounds = rounds, .work = work, .at_rest = at_rest, .argument = argument};
    assert_int_equal(pthread_barrier_init(&s.barrier, NULL, (unsigned)count), 0);
    run_threads(count, rounds_member, &s);
    pthread_barrier_destroy(&s.barrier);
}

#if !defined(SLOW)
#define SLOW (UNDER_ASAN || UNDER_MSAN || UNDER_TSAN ? 5 : 1)
#endif

size_t rounds_for(size_t rounds)
{
    const char *given = getenv("TSMBR_SLOW");
    size_t slow = given != NULL ? (size_t)strtoul(given, NULL, 0) : 1;
    slow = slow == 0 ? SLOW : slow * SLOW;
    return rounds < slow ? rounds : rounds / slow;
}

/* --------------------------------------------------------------------------------- machines -- */

const char *emulator(void)
{
    return getenv("TSMBR_EMULATOR");
}

void *pages_allocate(size_t bytes)
{
    bytes = (bytes + 4095) / 4096 * 4096;
#if defined(_WIN32)
    return _aligned_malloc(bytes, 4096);
#else
    return aligned_alloc(4096, bytes);
#endif
}

void pages_free(void *ptr)
{
#if defined(_WIN32)
    _aligned_free(ptr);
#else
    free(ptr);
#endif
}

/* -------------------------------------------------------------------------- random numbers -- */

uint64_t run_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *given = getenv("TSMBR_SEED");
        seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
        seed += seed == 0;
        printf("seed %" PRIu64 ": repeat with TSMBR_SEED=%" PRIu64 "\n", seed, seed);
        fflush(stdout);
    }
    return seed;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t dice_roll(dice *d)
{
    uint64_t z = d->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

dice dice_make(uint64_t seed, uint64_t stream)
{
    dice d = {seed};
    d.state = dice_roll(&d) ^ (stream * 0xD1342543DE82EF95u);
    return d;
}

size_t dice_below(dice *d, size_t bound)
{
    return (size_t)(dice_roll(d) % bound);
}

size_t dice_size(dice *d, size_t most)
{
    size_t bits = 0;
    while (bits < 63 && (most >> bits) != 0)
        bits++;
    size_t size = (size_t)(dice_roll(d) & ((((uint64_t)1) << dice_below(d, bits + 1)) - 1));
    return size > most ? most : size;
}

size_t dice_alignment(dice *d, size_t largest)
{
    size_t alignment = (size_t)1 << dice_below(d, 16);
    return alignment > largest ? 1 : alignment;
}

/* ---------------------------------------------------------------------------------- blocks -- */

void pattern_write(const block *b)
{
    dice d = {b->pattern};
    for (size_t i = 0; i < b->bytes; i++)
        b->ptr[i] = (unsigned char)(i % 64 == 0 ? dice_roll(&d) : b->pattern + i);
}

bool pattern_intact(const block *b)
{
    dice d = {b->pattern};
    for (size_t i = 0; i < b->bytes; i++)
        if (b->ptr[i] != (unsigned char)(i % 64 == 0 ? dice_roll(&d) : b->pattern + i))
            return false;
    return true;
}

static void blocks_push(blocks *b, block item)
{
    if (b->count == b->room) {
        b->room = b->room == 0 ? 256 : 2 * b->room;
        b->items = realloc(b->items, b->room * sizeof *b->items);
        if (b->items == NULL)
            abort();
    }
    b->items[b->count++] = item;
}

void blocks_add(blocks *b, void *ptr, size_t bytes, uint64_t pattern)
{
    /* Zero bytes are one byte that nobody may write; it must still be apart from all others. */
    block item = {ptr, bytes, pattern};
    pattern_write(&item);
    blocks_push(b, item);
}

void blocks_append(blocks *b, const blocks *other)
{
    for (size_t i = 0; i < other->count; i++)
        blocks_push(b, other->items[i]);
}

static int block_order(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const block *)a)->ptr;
    uintptr_t y = (uintptr_t)((const block *)b)->ptr;
    return (x > y) - (x < y);
}

size_t blocks_check(blocks *b)
{
    size_t faults = 0;
    if (b->count != 0)
        qsort(b->items, b->count, sizeof *b->items, block_order);
    for (size_t i = 0; i < b->count; i++) {
        const block *x = &b->items[i];
        size_t bytes = x->bytes != 0 ? x->bytes : 1;
        bool apart = i + 1 == b->count || (uintptr_t)x->ptr + bytes <= (uintptr_t)b->items[i + 1].ptr;
        bool intact = pattern_intact(x);
        if ((!apart || !intact) && ++faults <= 3)
            fprintf(stderr, "block %p of %zu bytes %s\n", (void *)x->ptr, x->bytes,
                    apart ? "has changed" : "overlaps the next");
    }
    return faults;
}

void blocks_free(blocks *b)
{
    free(b->items);
    memset(b, 0, sizeof *b);
}
