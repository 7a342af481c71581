/* RegisterWon / RegisterLost after LoadCleanups: every cleanup registered by any thread runs once, each thread's
 * own in reverse order. */
#include "support.h"

#include <stdatomic.h>
#include <stdio.h>

enum { THREADS = 8, EACH = 2000 };

typedef struct entry {
    struct crowd *crowd;
    size_t thread;
    size_t number;
} entry;

typedef struct crowd {
    tsmbr_resource r;
    watch w;
    entry entries[THREADS][EACH];
    size_t next[THREADS]; /* the number expected next, counting down; written at rest only */
    atomic_size_t faults;
} crowd;

static void run_entry(void *argument)
{
    entry *e = argument;
    if (e->number != --e->crowd->next[e->thread])
        e->crowd->faults++;
}

static void register_work(void *argument, size_t index, size_t round)
{
    (void)round;
    crowd *c = argument;
    for (size_t i = 0; i < EACH; i++) {
        c->entries[index][i] = (entry){c, index, i};
        if (tsmbr_on_release(&c->r, run_entry, &c->entries[index][i]) != 0)
            c->faults++;
    }
    c->next[index] = EACH;
}

static void register_at_rest(void *argument, size_t round)
{
    crowd *c = argument;
    if (round % 2 == 0)
        tsmbr_release(&c->r);
    else
        tsmbr_reset(&c->r, SIZE_MAX);
    for (int i = 0; i < THREADS; i++)
        c->faults += c->next[i] != 0;
}

static void every_cleanup_runs_once(void **state)
{
    (void)state;
    static crowd c;
    watch_open(&c.w);
    tsmbr_init(&c.r, &(tsmbr_config){.upstream = &c.w.upstream});
    run_rounds(THREADS, rounds_for(100), register_work, register_at_rest, &c);
    assert_int_equal(c.faults, 0);
    tsmbr_statistics s;
    tsmbr_get_statistics(&c.r, &s);
    printf("%zu races lost\n", s.lost_races);
    assert_true(s.lost_races > 100);
    tsmbr_destroy(&c.r);
    watch_close(&c.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_cleanup_runs_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
