/* Bump / LoadLane: statistics read cursor and end while their owners move them. No data race, nothing torn: never
 * more than is held, and exact as soon as all rest. */
#include "place.h"

#include "support.h"

#include <sched.h>
#include <stdatomic.h>

enum { WRITERS = 4, READERS = 2, EACH = 30000 };

typedef struct watched {
    tsmbr_resource r;
    atomic_size_t asked;
    atomic_size_t running;
    atomic_size_t looks;
    atomic_size_t moves; /* between two looks of one reader */
    atomic_size_t faults;
} watched;

static void bump_or_read(void *argument, size_t index)
{
    watched *s = argument;
    tsmbr_statistics now;
    if (index < WRITERS) {
        dice d = dice_make(run_seed(), index);
        size_t asked = 0;
        for (size_t i = 0; i < EACH; i++) {
            size_t bytes = 1 + dice_below(&d, 800);
            asked += tsmbr_allocate(&s->r, bytes, 1) != NULL ? bytes : 0;
            if (i % 16 == 15) {
                s->asked += asked;
                asked = 0;
            }
            if (i == EACH / 2)
                for (size_t seen = s->looks; s->looks < seen + 2 * READERS;)
                    (void)sched_yield();
        }
        s->asked += asked;
        s->running--;
        return;
    }
    for (size_t last = 0; s->running != 0; last = now.allocated_bytes) {
        size_t before = s->asked;
        tsmbr_get_statistics(&s->r, &now);
        s->faults += now.allocated_bytes > now.reserved_bytes;
        s->faults += now.reserved_bytes > now.peak_reserved_bytes;
        s->faults += now.wasted_bytes > now.reserved_bytes;
        /* What was served before is counted, less what lanes that got a new run meanwhile hide: a third of all. */
        s->faults += now.allocated_bytes + WRITERS * 2 * PLACE_RUN_MOST < before;
        s->moves += last != 0 && now.allocated_bytes != last;
        s->looks++;
    }
}

static void statistics_read_lanes_in_motion(void **state)
{
    (void)state;
    static watched s;
    (void)run_seed();
    for (size_t round = 0; round < rounds_for(10); round++) {
        tsmbr_init(&s.r, &(tsmbr_config){.initial_size = round % 2 == 0 ? 1 << 20 : 0});
        s.asked = 0;
        s.running = WRITERS;
        run_threads(WRITERS + READERS, bump_or_read, &s);
        tsmbr_statistics now;
        tsmbr_get_statistics(&s.r, &now);
        assert_int_equal(now.allocated_bytes, s.asked);
        tsmbr_destroy(&s.r);
    }
    assert_int_equal(s.faults, 0);
    assert_true(s.looks > 0 && s.moves > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(statistics_read_lanes_in_motion)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
