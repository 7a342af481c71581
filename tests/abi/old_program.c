/* A program of the first version: compiled against the headers that scripts/check-abi has frozen, run over the
 * shared library of today.
 *
 * Each of its structs ends where its page ends, and the next page cannot be touched: a library that reads or
 * writes a field which this program does not have ends it. Of a config the padding has no value either. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif
#include <tsmbr.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition) check((condition), #condition, __LINE__)

static void check(bool holds, const char *condition, int line)
{
    if (holds)
        return;
    fprintf(stderr, "old_program.c:%d: does not hold: %s\n", line, condition);
    exit(1);
}

/* Memory that is followed by a page which cannot be touched. */
static void *at_the_edge(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && bytes <= page && mprotect(pages + page, page, PROT_NONE) == 0);
    return pages + page - bytes;
}

#define AT_THE_EDGE(type) ((type *)at_the_edge(sizeof(type)))

static size_t asked;

static void *count_allocate(void *context, size_t bytes, size_t alignment)
{
    const tsmbr_upstream *u = context;
    asked += bytes;
    return u->allocate(u->context, bytes, alignment);
}

static void count_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    const tsmbr_upstream *u = context;
    asked -= bytes;
    u->deallocate(u->context, ptr, bytes, alignment);
}

/* --------------------------------------------------------------------------------- structs -- */

enum { BUFFER = 100, ALL_FLAGS = TSMBR_SHARED_ONLY | TSMBR_NO_RECYCLE | TSMBR_RED_ZONES };

static void *a_thread_takes_eight(void *r)
{
    return tsmbr_allocate(r, 8, 1);
}

/* Whether another thread's block lies between two of this one's: with lanes it does not. */
static bool blocks_lie_in_order(tsmbr_resource *r)
{
    pthread_t thread;
    void *other = NULL;
    char *first = tsmbr_allocate(r, 8, 1);
    CHECK(first != NULL && pthread_create(&thread, NULL, a_thread_takes_eight, r) == 0);
    CHECK(pthread_join(thread, &other) == 0 && other != NULL);
    return other == first + 8 && tsmbr_allocate(r, 8, 1) == first + 16;
}

static void the_config_is_read_to_its_end(void)
{
    tsmbr_resource *r = AT_THE_EDGE(tsmbr_resource);
    tsmbr_config *config = AT_THE_EDGE(tsmbr_config);
    tsmbr_upstream *upstream = AT_THE_EDGE(tsmbr_upstream);
    *upstream = (tsmbr_upstream){count_allocate, count_deallocate, (void *)(size_t)tsmbr_malloc_upstream()};
    char buffer[BUFFER];
    for (unsigned flags = 0; flags <= ALL_FLAGS; flags++) {
        memset(config, 0xA5, sizeof *config);
        config->upstream = upstream;
        config->initial_size = 50000;
        config->buffer = buffer;
        config->buffer_size = sizeof buffer;
        config->limit = 100000;
        config->flags = flags;
        CHECK(tsmbr_init(r, config) == 0 && asked == 0);
        CHECK(tsmbr_upstream_resource(r) == upstream);
        CHECK(tsmbr_allocate(r, sizeof buffer, 1) == buffer);
        CHECK(tsmbr_allocate(r, 100, 16) != NULL && asked >= 50000);
        CHECK(blocks_lie_in_order(r) == ((flags & TSMBR_SHARED_ONLY) != 0));
        CHECK(tsmbr_allocate(r, 100000, 1) == NULL && errno == ENOMEM && asked <= 100000);
        tsmbr_reset(r, SIZE_MAX);
        CHECK((asked == 0) == ((flags & TSMBR_NO_RECYCLE) != 0));
        tsmbr_destroy(r);
        CHECK(asked == 0);
    }
}

/* A bit that this version does not name may mean a longer config: a library that does not know it refuses it
 * without a look behind the end. Versions to come name low bits; the highest is that of the one which check-abi
 * makes up. */
static void flags_of_other_versions_read_nothing_behind_it(void)
{
    tsmbr_resource *r = AT_THE_EDGE(tsmbr_resource);
    tsmbr_config *config = AT_THE_EDGE(tsmbr_config);
    for (unsigned bit = 1u << 16; bit < 1u << 31; bit <<= 1) {
        memset(config, 0, sizeof *config);
        config->flags = bit;
        errno = 0;
        CHECK(tsmbr_init(r, config) == EINVAL && errno == EINVAL);
        CHECK(tsmbr_allocate(r, 10, 2) != NULL);
        tsmbr_destroy(r);
    }
}

static void statistics_are_written_to_their_end(void)
{
    tsmbr_resource *r = AT_THE_EDGE(tsmbr_resource);
    tsmbr_statistics *s = AT_THE_EDGE(tsmbr_statistics);
    CHECK(tsmbr_allocate(r, 1000, 8) != NULL); /* all-zero bytes are a resource */
    tsmbr_get_statistics(r, s);
    CHECK(s->allocated_bytes == 1000 && s->reserved_bytes >= 1000 && s->chunks == 1 && s->lost_races == 0);
    CHECK(s->peak_reserved_bytes == s->reserved_bytes && s->wasted_bytes <= s->reserved_bytes);
    tsmbr_destroy(r);
}

static void the_lane_is_used_to_its_end(void)
{
    tsmbr_resource *r = AT_THE_EDGE(tsmbr_resource);
    tsmbr_lane *lane = AT_THE_EDGE(tsmbr_lane);
    CHECK(tsmbr_init(r, &(tsmbr_config){.initial_size = 1 << 20}) == 0);
    tsmbr_lane_open(lane, r);
    unsigned char *before = NULL;
    for (int i = 0; i < 20000; i++) {
        unsigned char *block =
            i % 2 == 0 ? tsmbr_lane_allocate(lane, 32, 8) : tsmbr_lane_try_allocate(lane, 32, 8);
        CHECK(block != NULL && block != before);
        memset(block, i, 32);
        CHECK(before == NULL || (before[0] == (unsigned char)(i - 1) && before[31] == (unsigned char)(i - 1)));
        before = block;
    }
    tsmbr_lane_close(lane);
    tsmbr_destroy(r);
}

/* ------------------------------------------------------------------------------- functions -- */

static void *fall_back(void *context, size_t bytes, size_t alignment)
{
    (void)bytes;
    (void)alignment;
    return context;
}

static void count_up(void *argument)
{
    ++*(int *)argument;
}

static TSMBR_PRINTF(2, 3) char *formatted(tsmbr_resource *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = tsmbr_vprintf(r, format, arguments);
    va_end(arguments);
    return text;
}

static void every_function_is_there(void)
{
    int cleanups = 0;
    tsmbr_wrapped *wrapped = AT_THE_EDGE(tsmbr_wrapped);
    wrapped->otherwise = fall_back;
    wrapped->context = &cleanups;
    tsmbr_resource *r = &wrapped->resource;
    CHECK(tsmbr_version() >= TSMBR_VERSION);
    CHECK(tsmbr_reserve(r, 10000) == 0);
    char *block = tsmbr_allocate(r, 100, 4);
    CHECK(block != NULL && tsmbr_owns(r, block) && !tsmbr_owns(r, r));
    CHECK(tsmbr_try_allocate(r, 1, 1) != NULL);
    CHECK(tsmbr_allocate_from(r, 100000, 1, tsmbr_system_upstream()) != NULL);
    CHECK(tsmbr_allocate_or_call(wrapped, (size_t)1 << 30, 1) == (void *)&cleanups);
    CHECK(tsmbr_allocate_array(r, SIZE_MAX, 2, 1) == NULL && errno == ENOMEM);
    CHECK(tsmbr_new(r, double) != NULL && tsmbr_new_array(r, int, 10) != NULL);
    CHECK(tsmbr_try_resize(r, block, 100, 50));
    block = tsmbr_reallocate(r, block, 50, 5000, 16);
    CHECK(block != NULL);
    tsmbr_deallocate(r, block, 5000, 16);
    CHECK(tsmbr_on_release(r, count_up, &cleanups) == 0);
    char *zeros = tsmbr_calloc(r, 10, 10);
    CHECK(zeros != NULL && zeros[99] == 0);
    CHECK(strcmp(tsmbr_strdup(r, "text"), "text") == 0 && strcmp(tsmbr_strndup(r, "text", 2), "te") == 0);
    CHECK(memcmp(tsmbr_memdup(r, "text", 4), "text", 4) == 0);
    CHECK(strcmp(tsmbr_printf(r, "%d of %s", 1, "many"), "1 of many") == 0);
    CHECK(strcmp(formatted(r, "%d of %s", 2, "more"), "2 of more") == 0);
    tsmbr_reset(r, SIZE_MAX);
    CHECK(cleanups == 1);
    tsmbr_release(r);
    tsmbr_destroy(r);
    CHECK(tsmbr_init(r, &(tsmbr_config){.upstream = tsmbr_null_upstream()}) == 0);
    CHECK(tsmbr_allocate(r, 1, 1) == NULL && errno == ENOMEM);
    tsmbr_destroy(r);
    const tsmbr_upstream *upstreams[] = {tsmbr_malloc_upstream(), tsmbr_system_upstream(),
                                         tsmbr_prefault_upstream(), tsmbr_guarded_upstream()};
    for (size_t i = 0; i < sizeof upstreams / sizeof upstreams[0]; i++) {
        CHECK(tsmbr_init(r, &(tsmbr_config){.upstream = upstreams[i]}) == 0);
        CHECK(tsmbr_allocate(r, 1, 1) != NULL && tsmbr_allocate(r, (size_t)3 << 20, 1) != NULL);
        tsmbr_destroy(r);
    }
}

static void *thread(void *argument)
{
    for (int i = 0; i < 10000; i++) {
        int *block = tsmbr_new(argument, int);
        if (block == NULL)
            return NULL;
        *block = i;
    }
    return argument;
}

static void threads_share_it(void)
{
    tsmbr_resource *r = AT_THE_EDGE(tsmbr_resource);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, thread, r) == 0);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        CHECK(pthread_join(threads[i], &result) == 0 && result == r);
    }
    tsmbr_destroy(r);
}

int main(void)
{
    the_config_is_read_to_its_end();
    flags_of_other_versions_read_nothing_behind_it();
    statistics_are_written_to_their_end();
    the_lane_is_used_to_its_end();
    every_function_is_there();
    threads_share_it();
    puts("old program ok");
    return 0;
}
