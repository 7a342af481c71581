/* What a block costs, its part of the reset included: by tsmbr_allocate, by an explicit lane, by malloc and free.
 * scripts/tools-cost builds this with and for each tool and runs it; docs/tools.md shows what it prints.
 *
 *     tools_cost                 three numbers: nanoseconds, the best of some rounds
 *     tools_cost WAY ROUNDS      nothing: so many rounds of the first, second or third, for instructions to be
 * counted
 */
#define _DEFAULT_SOURCE
#include "tsmbr.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS = 20000, BYTES = 64, ROUNDS = 30, WAYS = 3 };

static tsmbr_resource r;
static unsigned char *blocks[BLOCKS];

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void by_allocate(void)
{
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = tsmbr_allocate(&r, BYTES, 8);
    tsmbr_reset(&r, SIZE_MAX);
}

static void by_lane(void)
{
    tsmbr_lane lane;
    tsmbr_lane_open(&lane, &r);
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = tsmbr_lane_allocate(&lane, BYTES, 8);
    tsmbr_reset(&r, SIZE_MAX);
}

static void by_malloc(void)
{
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(BYTES);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

static void (*const ways[WAYS])(void) = {by_allocate, by_lane, by_malloc};

int main(int argc, char **argv)
{
    tsmbr_config config = {.initial_size = (size_t)BLOCKS * BYTES + 4096};
    if (tsmbr_init(&r, &config) != 0)
        return 1;
    if (argc == 3) {
        for (long round = strtol(argv[2], NULL, 10); round > 0; round--)
            ways[strtol(argv[1], NULL, 10) % WAYS]();
    } else {
        for (int way = 0; way < WAYS; way++) {
            double best = 1e9;
            for (int round = 0; round < ROUNDS; round++) {
                double begin = seconds();
                ways[way]();
                double spent = seconds() - begin;
                best = spent < best ? spent : best;
            }
            printf("%.1f ", best / BLOCKS * 1e9);
        }
        puts("");
    }
    tsmbr_destroy(&r);
    return 0;
}
