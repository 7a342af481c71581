/* Slots: TakeWon, TakeLost, Give; which lane table a slot is in; what a thread that starts gets from one that
 * has ended. */
#include "jitter.h" /* for the steps of this file, whatever the library has */

#include "lane.h"

#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void the_lowest_free_slot_is_taken(void **state)
{
    (void)state;
    static slots s;
    for (unsigned i = 0; i < SLOTS; i++)
        assert_int_equal(slots_take(&s), i);
    assert_int_equal(slots_take(&s), SLOTS);
    assert_int_equal(slots_take(&s), SLOTS);
    /* One of each word, and the ends. */
    const unsigned free[] = {0, 1, SLOT_BITS - 1, SLOT_BITS, 2 * SLOT_BITS + 3, SLOTS - 1};
    for (size_t i = sizeof free / sizeof *free; i-- > 0;) {
        slots_give(&s, free[i]);
        assert_int_equal(slots_take(&s), free[i]);
        slots_give(&s, free[i]);
    }
    for (size_t i = 0; i < sizeof free / sizeof *free; i++)
        assert_int_equal(slots_take(&s), free[i]);
    assert_int_equal(slots_take(&s), SLOTS);
    for (unsigned i = 0; i < SLOTS; i++)
        slots_give(&s, i);
    for (unsigned w = 0; w < SLOT_WORDS; w++)
        assert_int_equal(slots_load_relaxed(&s, w), 0);
}

/* Groups cover the slots in order, without a gap, and each lane has its own place in its table. */
static void groups_cover_the_slots(void **state)
{
    (void)state;
    unsigned slot = 0;
    assert_int_equal(slot_group_size(0), 0);
    for (unsigned group = 1; group < SLOT_GROUPS; group++) {
        assert_int_equal(slot_group_size(group), group == 1 ? 1 : slot < 32 ? slot : 32);
        for (unsigned i = 0; i < slot_group_size(group); i++, slot++) {
            assert_int_equal(slot_group(slot), group);
            assert_int_equal(slot_in_group(slot), i);
        }
        assert_true(lane_table_bytes(group) >= slot_group_size(group) * sizeof(lane) + LANE_LINE - 1);
    }
    assert_int_equal(slot, SLOTS);
}

typedef struct contested {
    slots s;
    atomic_uint owner[SLOTS];
    unsigned char plain[SLOTS][64]; /* what a lane is: written by owners only, one after the other */
    atomic_size_t faults;
    atomic_size_t none;
} contested;

static void take_and_give(void *argument, size_t index)
{
    contested *c = argument;
    dice d = dice_make(run_seed(), index);
    for (size_t i = 0; i < rounds_for(4000); i++) {
        unsigned mine[24];
        size_t count = 1 + dice_below(&d, 24);
        for (size_t k = 0; k < count; k++) {
            mine[k] = slots_take(&c->s);
            if (mine[k] == SLOTS) {
                c->none++;
                continue;
            }
            unsigned nobody = 0;
            if (!atomic_compare_exchange_strong_explicit(&c->owner[mine[k]], &nobody, (unsigned)index + 1,
                                                         memory_order_relaxed, memory_order_relaxed))
                c->faults++;
            memset(c->plain[mine[k]], (int)index, 64);
        }
        for (size_t k = 0; k < count; k++) {
            if (mine[k] == SLOTS)
                continue;
            for (size_t j = 0; j < 64; j++)
                c->faults += c->plain[mine[k]][j] != index;
            atomic_store_explicit(&c->owner[mine[k]], 0, memory_order_relaxed);
            slots_give(&c->s, mine[k]);
        }
    }
}

static void threads_never_share_a_slot(void **state)
{
    (void)state;
    static contested c;
    (void)run_seed();
    run_threads(24, take_and_give, &c); /* up to 576 at once, of 256 */
    assert_int_equal(c.faults, 0);
    assert_true(c.none > 0);
    for (unsigned i = 0; i < SLOTS; i++)
        assert_int_equal(slots_take(&c.s), i);
}

/* ------------------------------------------------------------------------------ real threads -- */

typedef struct seen_slots {
    tsmbr_resource r;
    pthread_barrier_t all_have_one;
    atomic_uint holders[SLOTS];
    atomic_size_t without;
    atomic_size_t refused;
    pthread_mutex_t *in_turn; /* where tables that lose would be too many; NULL: all at once */
} seen_slots;

static void hold_a_slot(void *argument, size_t index)
{
    (void)index;
    seen_slots *s = argument;
    bool in_turn = s->in_turn != NULL && pthread_mutex_lock(s->in_turn) == 0;
    /* A chunk's first block is just that, and a thread whom others forestall does without for the time. */
    for (int i = 0; i < 2 || (tsmbr_thread.group == 0 && i < 50); i++)
        s->refused += tsmbr_allocate(&s->r, 1, 1) == NULL;
    if (in_turn)
        pthread_mutex_unlock(s->in_turn);
    if (tsmbr_thread.group != 0)
        s->holders[tsmbr_thread.slot]++;
    else
        s->without++;
    pthread_barrier_wait(&s->all_have_one);
}

static void threads_hold_the_lowest_slots(void **state)
{
    (void)state;
    static seen_slots s;
    tsmbr_init(&s.r, &(tsmbr_config){.initial_size = 1 << 22});
    for (int i = 0; i < 2; i++)
        assert_non_null(tsmbr_allocate(&s.r, 1, 1));
    assert_int_equal(tsmbr_thread.slot, 0);
    assert_int_equal(tsmbr_thread.group, 1);
    for (int round = 0; round < 3; round++) {
        memset(s.holders, 0, sizeof s.holders);
        pthread_barrier_init(&s.all_have_one, NULL, 20);
        run_threads(20, hold_a_slot, &s);
        pthread_barrier_destroy(&s.all_have_one);
        for (unsigned i = 0; i < SLOTS; i++)
            assert_int_equal(s.holders[i], i >= 1 && i <= 20);
    }
    assert_int_equal(s.without + s.refused, 0);
    tsmbr_destroy(&s.r);
}

/* More threads than slots: those without go the shared path, and the next to come find slots again. */
static void threads_beyond_the_slots_do_without(void **state)
{
    (void)state;
    static seen_slots s;
    enum { MANY = SLOTS + 44 };
    tsmbr_init(&s.r, &(tsmbr_config){.initial_size = 1 << 24});
    for (int round = 0; round < 2; round++) {
        memset(s.holders, 0, sizeof s.holders);
        s.without = 0;
        pthread_barrier_init(&s.all_have_one, NULL, MANY);
        run_threads(MANY, hold_a_slot, &s);
        pthread_barrier_destroy(&s.all_have_one);
        assert_int_equal(s.without, MANY - (SLOTS - 1)); /* slot 0 is main's */
        for (unsigned i = 0; i < SLOTS; i++)
            assert_int_equal(s.holders[i], i != 0);
    }
    assert_int_equal(s.refused, 0);
    tsmbr_destroy(&s.r);
}

/* The least chunk in which a group's table is made, as the header has it. */
static void require_tables_from(bool lent, const size_t *kibibytes)
{
    size_t capacity = PLACE_LANES_FROM;
    for (unsigned group = 1; group < SLOT_GROUPS; group++) {
        while (lane_table_bytes(group) > place_table_part(capacity, lent))
            capacity += 1024;
        assert_int_equal(capacity / 1024, kibibytes[group]);
    }
}

/* A table that would be a large part of the chunk is not made. */
static void small_chunks_have_few_tables(void **state)
{
    (void)state;
    static seen_slots s;
    pthread_mutex_t in_turn = PTHREAD_MUTEX_INITIALIZER;
    s.in_turn = &in_turn;
    require_tables_from(
        true, (const size_t[SLOT_GROUPS]){0, 16, 16, 24, 40, 72, 136, 264, 264, 264, 264, 264, 264, 264});
    require_tables_from(false, (const size_t[SLOT_GROUPS]){0, 16, 16, 16, 16, 16, 26, 50, 50, 50, 50, 50, 50, 50});
    for (size_t i = 0, capacity = PLACE_LANES_FROM; capacity <= 1 << 20; capacity *= 1 + i % 2, i++) {
        bool lent = i % 2 == 0;
        unsigned char *buffer = malloc(capacity);
        tsmbr_config config = {.initial_size = capacity};
        if (lent)
            config = (tsmbr_config){.buffer = buffer, .buffer_size = capacity};
        tsmbr_init(&s.r, &config);
        pthread_barrier_init(&s.all_have_one, NULL, 40);
        run_threads(40, hold_a_slot, &s);
        pthread_barrier_destroy(&s.all_have_one);
        const chunk *c = head_load_acquire(resource_of(&s.r));
        assert_null(c->prev);
        assert_int_equal(c->allocation_size == 0, lent);
        for (unsigned group = 1; group < SLOT_GROUPS; group++) {
            bool small = lane_table_bytes(group) <= place_table_part(c->capacity, lent);
            bool used = slot_group(1) <= group && group <= slot_group(40);
            assert_int_equal(lanes_load_acquire(resource_of(&s.r), group) != NULL, small && used);
        }
        assert_int_equal(s.refused, 0);
        tsmbr_destroy(&s.r);
        free(buffer);
    }
}

typedef struct tried {
    tsmbr_resource r;
    bool took;
} tried;

static void only_try(void *argument, size_t index)
{
    (void)index;
    tried *t = argument;
    for (int i = 0; i < 10; i++)
        t->took = tsmbr_try_allocate(&t->r, 10, 1) == NULL || tsmbr_thread.group != 0 || t->took;
}

/* It may be a signal handler that tries. */
static void trying_takes_no_slot(void **state)
{
    (void)state;
    tried t = {.took = false};
    tsmbr_init(&t.r, &(tsmbr_config){.initial_size = 1 << 20});
    assert_non_null(tsmbr_allocate(&t.r, 1, 1));
    run_threads(1, only_try, &t);
    assert_false(t.took);
    tsmbr_destroy(&t.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_free_slot_is_taken),
        cmocka_unit_test(groups_cover_the_slots),
        cmocka_unit_test(threads_never_share_a_slot),
        cmocka_unit_test(threads_hold_the_lowest_slots),
        cmocka_unit_test(threads_beyond_the_slots_do_without),
        cmocka_unit_test(small_chunks_have_few_tables),
        cmocka_unit_test(trying_takes_no_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
