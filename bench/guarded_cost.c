/* What a chunk costs over each upstream, from its request to its return: time with one write to each page, memory
 * and address space. scripts/guarded-cost builds and runs this; docs/security.md shows what it prints. */
#define _DEFAULT_SOURCE
#include "tsmbr.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { HELD = 64, ROUNDS = 7 };

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Pages of address space, and of memory. */
static void process_pages(size_t *space, size_t *memory)
{
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%zu %zu", space, memory) != 2)
        exit(1);
    (void)fclose(f);
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* Microseconds for one chunk, the best of some rounds; sets the pages that one takes. */
static double chunk_costs(const tsmbr_upstream *u, size_t bytes, double *space, double *memory)
{
    static unsigned char *held[HELD];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        size_t space_before = 0, memory_before = 0, space_after = 0, memory_after = 0;
        process_pages(&space_before, &memory_before);
        double begin = seconds();
        for (int i = 0; i < HELD; i++) {
            held[i] = u->allocate(u->context, bytes, 16);
            if (held[i] == NULL)
                exit(1);
            for (size_t at = 0; at < bytes; at += page)
                held[i][at] = 1;
            held[i][bytes - 1] = 1;
        }
        double spent = seconds() - begin;
        process_pages(&space_after, &memory_after);
        begin = seconds();
        for (int i = 0; i < HELD; i++)
            u->deallocate(u->context, held[i], bytes, 16);
        best = least(best, spent + seconds() - begin);
        if (round == 0) {
            *space = (double)(space_after - space_before) * (double)page / HELD;
            *memory = (double)(memory_after - memory_before) * (double)page / HELD;
        }
    }
    return best / HELD * 1e6;
}

int main(void)
{
    const size_t sizes[] = {2048, 16384, 131072, (size_t)1 << 20, (size_t)4 << 20};
    printf("%10s  %30s  %30s  %6s\n", "", "system: us, KiB memory, space", "guarded: us, KiB memory, space",
           "times");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        double space[2] = {0};
        double memory[2] = {0};
        double plain = chunk_costs(tsmbr_system_upstream(), sizes[i], &space[0], &memory[0]);
        double guarded = chunk_costs(tsmbr_guarded_upstream(), sizes[i], &space[1], &memory[1]);
        printf("%6zu KiB  %10.2f%10.1f%10.1f  %10.2f%10.1f%10.1f  %6.1f\n", sizes[i] / 1024, plain,
               memory[0] / 1024, space[0] / 1024, guarded, memory[1] / 1024, space[1] / 1024, guarded / plain);
    }
    return 0;
}
