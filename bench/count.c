/* count.c - how often blocks make threads touch what they share. No time is taken here.
 *
 * Built from the library's own sources with a hook before every atomic step. The step's name tells
 * what it is: a function of src/steps.h with _cas_, _add_, _sub_, _exchange_, _or_ or _and_ in its name is a
 * read-modify-write, which wants the line for itself; the others only read or write a word. How many
 * compare-and-swaps were lost is read from the resource's statistics.
 *
 * Prints lines of "name value" for the benchmark, which runs this program. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "count.h"
#include "tsmbr.h"

_Thread_local struct counted counted;

typedef struct job {
    tsmbr_resource *resource;
    size_t blocks;
    pthread_barrier_t *together;
    struct counted seen;
} job;

static void *job_run(void *argument)
{
    job *j = argument;
    (void)pthread_barrier_wait(j->together);
    counted = (struct counted){0, 0};
    for (size_t i = 0; i < j->blocks; i++)
        if (tsmbr_allocate(j->resource, 64, 8) == NULL)
            abort();
    j->seen = counted;
    return NULL;
}

enum { MOST_THREADS = 64 };

/* `threads` threads share `blocks` blocks. Returns the steps of all of them. */
static struct counted share(tsmbr_resource *resource, size_t threads, size_t blocks)
{
    pthread_t ids[MOST_THREADS];
    job jobs[MOST_THREADS];
    pthread_barrier_t together;
    if (pthread_barrier_init(&together, NULL, (unsigned)threads) != 0)
        abort();
    for (size_t i = 0; i < threads; i++) {
        jobs[i] = (job){resource, blocks / threads, &together, {0, 0}};
        if (pthread_create(&ids[i], NULL, job_run, &jobs[i]) != 0)
            abort();
    }
    struct counted sum = {0, 0};
    for (size_t i = 0; i < threads; i++) {
        (void)pthread_join(ids[i], NULL);
        sum.rmw += jobs[i].seen.rmw;
        sum.plain += jobs[i].seen.plain;
    }
    (void)pthread_barrier_destroy(&together);
    return sum;
}

static size_t lost_races(const tsmbr_resource *resource)
{
    tsmbr_statistics statistics;
    tsmbr_get_statistics(resource, &statistics);
    return statistics.lost_races;
}

/* Steady state: the second time round, over chunks that reset has kept. */
static void count_steps(const char *name, unsigned flags, size_t threads)
{
    enum { BLOCKS = 1 << 22 };
    tsmbr_resource resource;
    tsmbr_config config = {.flags = flags};
    if (tsmbr_init(&resource, &config) != 0)
        abort();
    (void)share(&resource, threads, BLOCKS);
    tsmbr_reset(&resource, (size_t)-1);
    size_t lost_before = lost_races(&resource);
    struct counted steps = share(&resource, threads, BLOCKS);
    printf("%s_rmw_%zu %.9f\n", name, threads, (double)steps.rmw / BLOCKS);
    printf("%s_plain_%zu %.9f\n", name, threads, (double)steps.plain / BLOCKS);
    printf("%s_lost_%zu %.9f\n", name, threads, (double)(lost_races(&resource) - lost_before) / BLOCKS);
    tsmbr_destroy(&resource);
}

/* 1 GiB in 64-byte blocks by 16 threads: bytes held from the upstream over bytes asked for. */
static void count_held(void)
{
    const size_t asked = (size_t)1 << 30;
    tsmbr_resource resource = TSMBR_RESOURCE_INIT;
    tsmbr_statistics statistics;
    (void)share(&resource, 16, asked / 64);
    tsmbr_get_statistics(&resource, &statistics);
    printf("held_over_asked %.6f\n", (double)statistics.reserved_bytes / (double)asked);
    tsmbr_destroy(&resource);
}

int main(void)
{
    static const size_t threads[] = {1, 2, 16};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        count_steps("default", 0, threads[i]);
        count_steps("shared_only", TSMBR_SHARED_ONLY, threads[i]);
    }
    count_held();
    return 0;
}
