/* record.c - the trace, one line an access or a call, to stdout.
 *
 *    THREAD load  WORD [CHUNK] VALUE             WORD: head large cleanups reserved next weight published,
 *                                                lane_cursor lane_end lanes_used lanes slots
 *    THREAD cas   WORD [CHUNK] EXPECTED FOUND DESIRED [FIELDS of the chunk DESIRED]
 *    THREAD store WORD [CHUNK] VALUE
 *    THREAD cas   lanes | slots SLOT             1: won; the slot, from 1 on, 0: lost
 *    THREAD slot  back
 *    THREAD closed                               an explicit lane
 *    THREAD add   WORD                           a counter
 *    THREAD sub   reserved VALUE
 *    THREAD call  allocate BYTES ALIGNMENT ASK   or: resize BLOCK BEFORE BYTES, register RECORD
 *    THREAD return RESULT
 *    THREAD ask   TOTAL GRANTED                  of the upstream, 0: refused
 *    THREAD back  CHUNK TOTAL
 *    begin THREADS BUFFER CAPACITY LIMIT MOST
 *    reset CHAIN | LARGE | GIVEN BACK | CLEANUPS RUN
 *    rest  HEAD LARGE CLEANUPS RESERVED | CHUNK FIELDS | CHUNK FIELDS ...
 *
 * FIELDS: allocation_size capacity next prev follow. A chunk is named by the address of its memory, 0 for none;
 * by which memory its record lies in, not by what the record says.
 * A table of lanes is emptied before others see it, and that is not recorded. */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const resource *recorded;
static size_t buffer_base;

/* What the upstream has granted, for the names of chunks. */
enum { GRANTS = 4096 };
static struct {
    size_t base;
    size_t total;
} grants[GRANTS];
static size_t granted;

_Thread_local int record_thread = -1;
_Thread_local unsigned record_dice = 1;

unsigned record_roll(void)
{
    record_dice = record_dice * 1664525u + 1013904223u; /* Numerical Recipes' generator */
    return record_dice >> 8;
}

void record_yield(const char *step)
{
    if (record_thread < 0 || record_roll() % 4 != 0)
        return;
    for (int i = strstr(step, "_cas_") != NULL ? 5 : 1; i > 0; i--)
        (void)sched_yield();
}

void record_lock(void)
{
    (void)pthread_mutex_lock(&lock);
}

void record_unlock(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static size_t name_of(size_t record)
{
    if (record - (size_t)(const void *)recorded < sizeof(resource))
        return buffer_base;
    for (size_t i = 0; i < granted; i++)
        if (record - grants[i].base < grants[i].total)
            return grants[i].base;
    return record;
}

static size_t name(const chunk *c)
{
    return name_of((size_t)(const void *)c);
}

static void fields(const chunk *c)
{
    printf(" %zu %zu %zu %zu %zu", c->allocation_size, c->capacity, c->next, name(c->prev), name(c->follow));
}

/* The word is what the step's name begins with; next is followed by its chunk. */
static bool is_word(const char *step, const char *word)
{
    return strncmp(step, word, strlen(word)) == 0;
}

static void line(const char *kind, const char *step, const volatile void *word)
{
    static const char *const words[] = {"next",       "head",      "large_weight", "large",       "cleanups",
                                        "reserved",   "published", "lost",         "lane_cursor", "lane_end",
                                        "lanes_used", "lanes",     "slots",        NULL};
    const char *const *w = words;
    while (*w != NULL && !is_word(step, *w))
        ++w;
    printf("%d %s %s", record_thread, kind, *w != NULL ? *w : step);
    if (w == words)
        printf(" %zu", name_of((size_t)word));
}

/* Of words that hold a chunk's record, the chunk's name. */
static bool holds_chunk(const char *step)
{
    return is_word(step, "head") || (is_word(step, "large") && !is_word(step, "large_weight"));
}

static size_t named(const char *step, size_t value)
{
    return holds_chunk(step) ? name_of(value) : value;
}

void record_load(const char *step, const volatile void *word, size_t value)
{
    if (record_thread < 0 || is_word(step, "key_"))
        return;
    line("load", step, word);
    printf(" %zu\n", named(step, value));
}

void record_store(const char *step, const volatile void *word, size_t value)
{
    if (record_thread < 0 || (is_word(step, "lane_") && value == 0))
        return;
    line("store", step, word);
    printf(" %zu\n", named(step, value));
}

void record_cas(const char *step, const volatile void *word, size_t expected, size_t found, size_t desired)
{
    if (record_thread < 0)
        return;
    if (is_word(step, "lanes") || is_word(step, "slots")) {
        size_t bit = 0;
        for (size_t taken = desired & ~expected; is_word(step, "slots") && (taken >> bit) > 1;)
            ++bit;
        printf("%d cas %.5s %zu\n", record_thread, step, expected == found ? bit + 1 : 0);
        return;
    }
    line("cas", step, word);
    printf(" %zu %zu %zu", named(step, expected), named(step, found), named(step, desired));
    if (holds_chunk(step))
        fields((const chunk *)desired);
    printf("\n");
}

void record_add(const char *step, size_t value)
{
    if (record_thread < 0)
        return;
    if (is_word(step, "slots")) {
        printf("%d slot back\n", record_thread);
        return;
    }
    line(is_word(step, "reserved_sub") ? "sub" : "add", step, NULL);
    printf(" %zu\n", value);
}

void record_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record_lock();
    printf("%d ", record_thread);
    vprintf(format, arguments);
    printf("\n");
    record_unlock();
    va_end(arguments);
}

void record_grant(size_t base, size_t total)
{
    record_lock();
    if (base != 0 && granted == GRANTS)
        abort();
    if (base != 0) {
        grants[granted].base = base;
        grants[granted++].total = total;
    }
    printf("%d ask %zu %zu\n", record_thread, total, base);
    record_unlock();
}

/* While the memory is still ours: afterwards the address may be granted again. */
void record_back(size_t base, size_t total)
{
    record_lock();
    if (record_thread >= 0)
        printf("%d back %zu %zu\n", record_thread, base, total);
    for (size_t i = 0; i < granted; i++)
        if (grants[i].base == base) {
            grants[i] = grants[--granted];
            break;
        }
    record_unlock();
}

void record_begin(const tsmbr_resource *self, int threads, const tsmbr_config *config)
{
    recorded = resource_of_const(self);
    buffer_base = (size_t)config->buffer;
    granted = 0;
    /* A thread's calls, those that the library makes for itself while it serves them, and its explicit lane's. */
    printf("begin %d %zu %zu %zu %zu\n", 3 * threads, buffer_base, config->buffer_size, config->limit,
           PLACE_CHUNK_MAX);
}

/* From the newest to the oldest by prev; printed the other way round, as the machine has its lists. */
static void list(const chunk *c)
{
    if (c == NULL)
        return;
    list(c->prev);
    printf(" | %zu", name(c));
    fields(c);
}

void record_rest(void)
{
    const chunk *newest = recorded->head;
    while (newest != NULL && newest->follow != NULL)
        newest = newest->follow;
    printf("rest %zu %zu %zu %zu", name(recorded->head), name(recorded->large), (size_t)recorded->cleanups,
           recorded->reserved);
    list(newest);
    list(recorded->large);
    printf("\n");
    (void)fflush(stdout); /* what comes now may crash, if the library is broken */
}

void record_kept(void)
{
    for (const chunk *c = recorded->head; c != NULL; c = c->follow)
        printf(" %zu", name(c));
    printf(" |");
    for (const chunk *c = recorded->kept_large; c != NULL; c = c->follow)
        printf(" %zu", name(c));
}
