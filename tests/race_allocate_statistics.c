/* Statistics and ownership while others allocate: never torn, never above what is held, never going back
 * but by what a lane is about to take; a block is owned from the moment its thread has it. */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { WRITERS = 4, READERS = 2, EACH = 20000 };

typedef struct watched {
    tsmbr_resource r;
    bool shared;
    atomic_size_t running;
    _Atomic(void *) latest;
    atomic_size_t looks[READERS];
    atomic_size_t changes[READERS]; /* looks that saw other figures than the one before, which saw some */
    atomic_size_t faults;
} watched;

/* Until each reader has had a look that began after this, and ended before the calls that are still to come. */
static void let_readers_look(watched *s)
{
    for (size_t i = 0; i < READERS; i++)
        for (size_t seen = s->looks[i]; s->looks[i] < seen + 2;)
            (void)sched_yield();
}

static void write_or_read(void *argument, size_t index)
{
    watched *s = argument;
    if (index < WRITERS) {
        dice d = dice_make(run_seed(), index);
        for (int i = 0; i < EACH; i++) {
            size_t bytes = i % 1000 == 500 ? 50000 : dice_size(&d, 200);
            void *p = tsmbr_allocate(&s->r, bytes, dice_alignment(&d, 64));
            if (p == NULL || !tsmbr_owns(&s->r, p))
                s->faults++;
            atomic_store_explicit(&s->latest, p, memory_order_release);
            if (i == EACH / 2)
                let_readers_look(s);
        }
        s->running--;
        return;
    }
    index -= WRITERS;
    tsmbr_statistics before = {0}, now;
    for (bool last = false; !last;) {
        last = s->running == 0;
        tsmbr_get_statistics(&s->r, &now);
        s->faults += s->shared && now.allocated_bytes < before.allocated_bytes;
        s->faults += now.chunks < before.chunks;
        s->faults += now.peak_reserved_bytes < before.peak_reserved_bytes;
        s->faults += now.lost_races < before.lost_races;
        s->faults += now.allocated_bytes > now.reserved_bytes; /* read after the walk */
        void *p = atomic_load_explicit(&s->latest, memory_order_acquire);
        s->faults += p != NULL && !tsmbr_owns(&s->r, p);
        s->faults += tsmbr_owns(&s->r, s);
        s->changes[index] += before.allocated_bytes != 0 && now.allocated_bytes != before.allocated_bytes;
        before = now;
        s->looks[index]++;
    }
}

static void readers_see_sound_values(bool shared)
{
    static watched s;
    s = (watched){.shared = shared};
    tsmbr_init(&s.r, &(tsmbr_config){.flags = shared ? TSMBR_SHARED_ONLY : 0});
    s.running = WRITERS;
    (void)run_seed();
    run_threads(WRITERS + READERS, write_or_read, &s);
    assert_int_equal(s.faults, 0);
    for (size_t i = 0; i < READERS; i++) {
        printf("%zu looks, %zu at new figures\n", (size_t)s.looks[i], (size_t)s.changes[i]);
        assert_true(s.changes[i] > 0); /* it looked in the midst of it */
    }
    tsmbr_destroy(&s.r);
}

static void on_the_shared_path(void **state)
{
    (void)state;
    readers_see_sound_values(true);
}

static void with_lanes(void **state)
{
    (void)state;
    readers_see_sound_values(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_the_shared_path), cmocka_unit_test(with_lanes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
