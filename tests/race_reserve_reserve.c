/* ReserveWon / ReserveLost / Unreserve, with LoadReserved, LoadPublished: 64 threads under one limit. Never a byte
 * above it, by the upstream's own count; and a refusal means that the room was not there, but for one in a
 * thousand in whose way bytes in flight were. */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 64 };

typedef struct crowd {
    watch w;
    tsmbr_upstream slow;
    tsmbr_resource r;
    size_t limit;
    size_t bytes;
    atomic_size_t served;
    atomic_size_t total_served;
    atomic_size_t early; /* served after a refusal: the refusal was too early */
    atomic_size_t faults;
} crowd;

static void *slow_allocate(void *context, size_t bytes, size_t alignment)
{
    crowd *c = context;
    void *p = c->w.upstream.allocate(&c->w, bytes, alignment);
    sched_yield();
    return p;
}

static void slow_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    crowd *c = context;
    sched_yield();
    c->w.upstream.deallocate(&c->w, ptr, bytes, alignment);
}

static void crowd_work(void *argument, size_t index, size_t round)
{
    (void)index;
    (void)round;
    crowd *c = argument;
    bool refused = false;
    for (int refusals = 0; refusals < 3;) {
        unsigned char *p = tsmbr_allocate(&c->r, c->bytes, 1);
        if (p == NULL) {
            refusals++;
            refused = true;
            continue;
        }
        c->early += refused;
        p[0] = p[c->bytes - 1] = 1;
        if (atomic_fetch_add(&c->served, c->bytes) > c->limit) {
            c->faults++;
            return;
        }
    }
}

static void crowd_at_rest(void *argument, size_t round)
{
    crowd *c = argument;
    tsmbr_statistics s;
    tsmbr_get_statistics(&c->r, &s);
    c->faults += c->w.peak > c->limit;
    c->faults += s.peak_reserved_bytes > c->limit;
    c->faults += s.reserved_bytes != c->w.held;
    c->faults += c->limit - c->w.held >= c->bytes + 127; /* room for one more was left */
    c->total_served += c->served;
    c->served = 0;
    if (round % 2 == 0)
        tsmbr_release(&c->r);
    else
        tsmbr_reset(&c->r, c->limit / 3);
}

static void the_limit_is_exact_in_a_crowd(void **state)
{
    (void)state;
    const size_t limits[] = {10000, 200000, 1000000};
    const size_t sizes[] = {40, 700, 5000};
    size_t early = 0, served = 0;
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++) {
            static crowd c;
            memset(&c, 0, sizeof c);
            watch_open(&c.w);
            c.slow = (tsmbr_upstream){slow_allocate, slow_deallocate, &c};
            c.limit = limits[i];
            c.bytes = sizes[k];
            tsmbr_init(&c.r, &(tsmbr_config){.upstream = &c.slow, .limit = c.limit});
            size_t rounds = rounds_for(20);
            run_rounds(THREADS, rounds, crowd_work, crowd_at_rest, &c);
            assert_int_equal(c.faults, 0);
            printf("limit %7zu, blocks of %4zu: %3zu %% served, %zu of %zu blocks after a refusal\n", c.limit,
                   c.bytes, c.total_served / rounds * 100 / c.limit, (size_t)c.early,
                   (size_t)(c.total_served / c.bytes));
            early += c.early;
            served += c.total_served / c.bytes;
            tsmbr_destroy(&c.r);
            watch_close(&c.w);
        }
    /* Bytes in flight may cost a request its place only if their thread does not run for a long
     * while. Without a second look one block in five comes too late. */
    assert_true(early <= served / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_limit_is_exact_in_a_crowd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
