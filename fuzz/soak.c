/* soak.c - everything at once, for long: threads with random programs on one resource or two, a watcher of their
 * statistics, the model's judgement at rest, now and then another resource after a round.
 *
 *   fuzz_soak [--minutes M | --rounds N] [--threads N]
 *   TSMBR_SEED=N                                          repeat a run's programs, not its interleavings */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lifetime.h"
#include "system.h"
#include "threads.h"

enum { PROGRAM_MOST = 500, PROGRESS_SECONDS = 10 };
/* In so many rounds everything happens that is to happen. */
enum { ROUNDS_FOR_ALL = 200 };

typedef struct soak {
    uint64_t dice;
    unsigned threads;
    double minutes; /* 0: by rounds */
    size_t rounds_wanted;
    time_t start;

    size_t rounds;
    size_t programs;
    size_t blocks;
    size_t bytes;
    size_t refusals;
    size_t system_rounds; /* in which the system refused something */
    size_t lost_races;
    size_t polls; /* of statistics, while threads were at work */
    size_t resources;
    size_t threads_had; /* one program may have many */
    unsigned shared;    /* resources of this round */

    member members[MEMBERS_MOST];
    uint8_t data[MEMBERS_MOST][PROGRAM_MOST];
} soak;

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t roll(soak *k)
{
    uint64_t z = k->dice += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* --------------------------------------------------------------------------------- the watcher -- */

static void require_risen(size_t before, size_t now, const char *name)
{
    REQUIRE_THAT(now >= before, "%s fell from %zu to %zu while threads allocate", name, before, now);
}

/* What must be so at any instant between two resets. */
static void look(const subject *s, tsmbr_statistics *was, bool only_rises)
{
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->resource, &now);
    require_risen(was->reserved_bytes, now.reserved_bytes, "reserved_bytes");
    require_risen(was->chunks, now.chunks, "chunks");
    require_risen(was->peak_reserved_bytes, now.peak_reserved_bytes, "peak_reserved_bytes");
    require_risen(was->lost_races, now.lost_races, "lost_races");
    require_risen(now.reserved_bytes, now.peak_reserved_bytes, "the peak under what is reserved");
    if (only_rises)
        require_risen(was->allocated_bytes, now.allocated_bytes, "allocated_bytes");
    REQUIRE_THAT(s->limit == 0 || now.peak_reserved_bytes <= s->limit, "%zu bytes reserved under a limit of %zu",
                 now.peak_reserved_bytes, s->limit);
    REQUIRE_THAT(now.allocated_bytes + now.wasted_bytes <= now.reserved_bytes + s->buffer_bytes,
                 "%zu bytes allocated and %zu wasted of %zu and a buffer of %zu", now.allocated_bytes,
                 now.wasted_bytes, now.reserved_bytes, s->buffer_bytes);
    *was = now;
}

static void *watch_statistics(void *argument)
{
    soak *k = argument;
    const subject *subjects = the_model.subjects;
    tsmbr_statistics was[SHARED_MOST];
    for (unsigned r = 0; r < k->shared; r++)
        was[r] = subjects[r].seen;
    for (; members_at_work(); k->polls++)
        for (unsigned r = 0; r < k->shared; r++)
            look(&subjects[r], &was[r], k->members[0].plain && (subjects[r].flags & TSMBR_SHARED_ONLY) != 0);
    return NULL;
}

/* ------------------------------------------------------------------------------------- a round -- */

static size_t size_up_to(soak *k, unsigned bits)
{
    return (size_t)(roll(k) & (((uint64_t)1 << (1 + roll(k) % bits)) - 1));
}

static bool one_in(soak *k, unsigned count)
{
    return roll(k) % count == 0;
}

static void make_resource(soak *k, unsigned resource)
{
    plan p = {.upstream = one_in(k, 3) ? 8 + (unsigned)(roll(k) % 4) : 0, /* of the library */
              .buffer_bytes = SIZE_MAX,
              .gap = one_in(k, 3) ? 0 : 64,
              .misalign = one_in(k, 3) ? (size_t)(roll(k) % 64) : 0};
    p.flags = (one_in(k, 3) ? TSMBR_SHARED_ONLY : 0) | (one_in(k, 4) ? TSMBR_NO_RECYCLE : 0) |
              (one_in(k, 4) ? TSMBR_RED_ZONES : 0);
    if (one_in(k, 3))
        p.buffer_bytes = size_up_to(k, 18);
    if (one_in(k, 3))
        p.limit = 1 + size_up_to(k, 22);
    if (one_in(k, 2))
        p.initial_size = size_up_to(k, 21);
    model_init(&the_model, resource, &p);
    k->resources++;
}

static void round_write(soak *k, unsigned index, bool plain)
{
    size_t length = 100 + (size_t)(roll(k) % (PROGRAM_MOST - 100));
    for (size_t n = 0; n < length; n++) {
        uint64_t now = roll(k);
        /* Mostly small numbers: sizes are, in life. */
        k->data[index][n] = (uint8_t)((now & 0xC00) != 0 ? now % 128 : now);
    }
    k->members[index].in =
        (reader){.data = k->data[index], .left = length, .a = {.m = &the_model, .seed = (uint32_t)roll(k)}};
    k->members[index].plain = plain;
}

static size_t refusals_of_all(const soak *k)
{
    size_t refusals = 0;
    for (unsigned r = 0; r < k->shared; r++)
        refusals += the_model.subjects[r].supply.refusals;
    return refusals;
}

/* The system refuses until the next round begins, also what is asked of it between the two. */
static void round_system(soak *k)
{
    k->system_rounds += system_serve();
    if (one_in(k, 2))
        system_refuse(1 + (unsigned)(roll(k) % 6), one_in(k, 4));
    if (one_in(k, 4))
        system_refuse_end();
}

static void round_work(soak *k)
{
    round_system(k);
    k->shared = one_in(k, 3) ? SHARED_MOST : 1;
    for (unsigned r = 0; r < k->shared; r++) {
        supply *u = &the_model.subjects[r].supply;
        u->fail_every = one_in(k, 4) ? 2 + (size_t)(roll(k) % 9) : 0;
        u->refuse_above = one_in(k, 6) ? 300 + size_up_to(k, 20) : 0;
    }
    bool plain = one_in(k, 4);
    unsigned count = 2 + (unsigned)(roll(k) % (k->threads - 1));
    for (unsigned i = 0; i < count; i++)
        round_write(k, i, plain);
    size_t refusals = refusals_of_all(k);
    members_run(&the_model, k->members, count, k->shared, watch_statistics, k);
    for (unsigned i = 0; i < count; i++)
        k->threads_had += k->members[i].threads;
    k->programs += count;
    k->blocks += the_model.blocks.count;
    for (unsigned r = 0; r < k->shared; r++)
        k->bytes += the_model.subjects[r].seen.allocated_bytes;
    k->refusals += refusals_of_all(k) - refusals;
    k->rounds++;
}

static void resource_end(soak *k, unsigned resource)
{
    actor a = {.m = &the_model};
    size_t lost = the_model.subjects[resource].seen.lost_races;
    unsigned end = (unsigned)(roll(k) % 8);
    if (end < 3)
        lifetime_reset(&a, resource, SIZE_MAX);
    else if (end < 5)
        lifetime_reset(&a, resource, size_up_to(k, 23));
    else if (end == 5)
        lifetime_release(&a, resource);
    if (end < 6 && one_in(k, 4))
        lifetime_reserve(&a, resource, size_up_to(k, 20));
    if (end >= 6) {
        k->lost_races += lost;
        make_resource(k, resource);
    }
    for (unsigned i = 0; i < MEMBERS_MOST; i++)
        REQUIRE_THAT(k->members[i].cleanups_due[resource] == 0, "%zu cleanups of a thread have not run",
                     k->members[i].cleanups_due[resource]);
}

/* ------------------------------------------------------------------------------------ progress -- */

static void print_line(const soak *k, char end)
{
    printf("soak %4.0f s: %zu rounds, %zu programs in %zu threads, %zu resources, %zu blocks, %.1f MiB, %zu "
           "refusals, %zu rounds with the system's, %zu lost races, %zu looks%c",
           difftime(time(NULL), k->start), k->rounds, k->programs, k->threads_had, k->resources, k->blocks,
           (double)k->bytes / 1048576, k->refusals, k->system_rounds, k->lost_races, k->polls, end);
    (void)fflush(stdout);
}

static bool goes_on(const soak *k)
{
    if (k->minutes <= 0)
        return k->rounds < k->rounds_wanted;
    return difftime(time(NULL), k->start) < 60 * k->minutes;
}

static int usage(void)
{
    (void)fputs("usage: fuzz_soak [--minutes M | --rounds N] [--threads 2..16]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static soak k;
    const char *seed = getenv("TSMBR_SEED");
    k.start = time(NULL);
    k.dice = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)k.start;
    k.threads = 8;
    k.rounds_wanted = 20;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return usage();
        if (strcmp(argv[i], "--minutes") == 0)
            k.minutes = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--rounds") == 0)
            k.rounds_wanted = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0)
            k.threads = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else
            return usage();
    }
    if (k.threads < 2 || k.threads > MEMBERS_MOST)
        return usage();
    printf("seed %" PRIu64 ": repeat the programs with TSMBR_SEED=%" PRIu64 "\n", k.dice, k.dice);
    (void)fflush(stdout);

    program_open();
    model_open(&the_model);
    for (unsigned r = 0; r < SHARED_MOST; r++)
        make_resource(&k, r);
    bool terminal = isatty(STDOUT_FILENO) != 0;
    time_t told = k.start;
    while (goes_on(&k)) {
        round_work(&k);
        for (unsigned r = 0; r < k.shared; r++)
            resource_end(&k, r);
        time_t now = time(NULL);
        if (difftime(now, told) >= (terminal ? 1 : PROGRESS_SECONDS)) {
            told = now;
            print_line(&k, terminal ? '\r' : '\n');
        }
    }
    for (unsigned r = 0; r < SHARED_MOST; r++)
        k.lost_races += the_model.subjects[r].seen.lost_races;
    model_close(&the_model);
    print_line(&k, '\n');
    REQUIRE_THAT(k.blocks != 0 && k.polls != 0, "%zu blocks served, %zu looks at statistics", k.blocks, k.polls);
    if (k.rounds >= ROUNDS_FOR_ALL) {
        REQUIRE_THAT(k.system_rounds != 0, "the system refused in none of %zu rounds", k.rounds);
        REQUIRE_THAT(k.refusals != 0 && k.lost_races != 0, "%zu refusals, %zu lost races", k.refusals,
                     k.lost_races);
        REQUIRE_THAT(k.threads_had > k.programs, "%zu programs had %zu threads", k.programs, k.threads_had);
    }
    for (unsigned i = 0; i < MEMBERS_MOST; i++)
        free(k.members[i].mine.items);
    return 0;
}
