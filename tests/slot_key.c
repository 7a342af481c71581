/* Where the system cannot tell when a thread ends, the thread gets no slot, and leaves those there are to others.
 * slot.c is here a second time, under other names and over a system that refuses on request. */
#include "support.h"

#include <errno.h>

static bool refuses;
static const void *told_of;

#if defined(_WIN32)
#include <windows.h>

static BOOL refusing_set(DWORD key, void *value)
{
    told_of = value;
    return !refuses && TlsSetValue(key, value);
}

#define TlsSetValue refusing_set
#define tsmbr_thread_here other_thread_here
#else
static int refusing_setspecific(pthread_key_t key, const void *value)
{
    (void)key;
    if (refuses)
        return ENOMEM;
    told_of = value;
    return 0;
}

#define tsmbr_thread other_thread
#define pthread_setspecific refusing_setspecific
#endif
#define tsmbr_thread_take other_thread_take
#include "../src/slot.c"

static thread_state fresh(void)
{
    thread_state thread = {0};
    return thread;
}

static void assert_slots_taken(size_t expected)
{
    assert_int_equal(slots_load_relaxed(&all_slots, 0), expected);
}

static void the_key_is_there_before_main(void **state)
{
    (void)state;
    assert_true(key_ready_load_acquire(&all_slots));
    assert_slots_taken(0);
}

static void a_slot_is_taken_and_given_back(void **state)
{
    (void)state;
    thread_state one = fresh(), two = fresh(), three = fresh();
    assert_true(tsmbr_thread_take(&one));
#if !defined(_WIN32)
    assert_ptr_equal(told_of, &one);
#endif
    assert_true(tsmbr_thread_take(&two));
    assert_true(tsmbr_thread_take(&three));
    assert_slots_taken(7);
    assert_int_equal(one.slot, 0);
    assert_int_equal(one.group, 1);
    assert_int_equal(one.offset, 0);
    assert_int_equal(three.slot, 2);
    assert_int_equal(three.group, 3);
    assert_int_equal(three.offset, 0);
    assert_false(tsmbr_thread_take(&two)); /* it has one */
    thread_ends(&two);
    assert_slots_taken(5);
    assert_int_equal(two.group, 0);
    assert_false(tsmbr_thread_take(&two)); /* it has ended */
    thread_state four = fresh();
    assert_true(tsmbr_thread_take(&four));
    assert_int_equal(four.slot, 1);
    assert_int_equal(four.group, 2);
    thread_ends(&one);
    thread_ends(&three);
    thread_ends(&four);
    assert_slots_taken(0);
}

#if defined(_WIN32)
static void no_slot_if_the_system_refuses(void **state)
{
    (void)state;
    refuses = true;
    thread_state *here = tsmbr_thread_here();
    assert_false(tsmbr_thread_take(here));
    assert_slots_taken(0);
    assert_int_equal(here->group, 0);
    refuses = false; /* asked again */
    here = tsmbr_thread_here();
    assert_ptr_equal(told_of, here);
    assert_true(tsmbr_thread_take(here));
    assert_ptr_equal(tsmbr_thread_here(), here);
    assert_slots_taken(1);
    /* What runs later in a thread that ends finds no slot, and takes none that nobody would give back. */
    at_thread_end(NULL, DLL_THREAD_DETACH, NULL);
    assert_slots_taken(0);
    assert_false(tsmbr_thread_take(tsmbr_thread_here()));
    at_thread_end(NULL, DLL_THREAD_DETACH, NULL);
    assert_slots_taken(0);
    assert_true(TlsSetValue(key, NULL));
}
#else
static void no_slot_if_the_system_refuses(void **state)
{
    (void)state;
    thread_state one = fresh(), two = fresh();
    refuses = true;
    assert_false(tsmbr_thread_take(&one));
    refuses = false;
    assert_slots_taken(0);
    assert_int_equal(one.group, 0);
    assert_false(tsmbr_thread_take(&one)); /* asked once */
    assert_slots_taken(0);
    assert_true(tsmbr_thread_take(&two));
    assert_int_equal(two.slot, 0);
    thread_ends(&two);
}
#endif

static void no_slot_without_a_key(void **state)
{
    (void)state;
    thread_state one = fresh();
    key_ready_store_release(&all_slots, false);
    assert_false(tsmbr_thread_take(&one));
    assert_slots_taken(0);
    key_ready_store_release(&all_slots, true); /* after a dlopen that came late */
    assert_true(tsmbr_thread_take(&one));
    thread_ends(&one);
}

static void no_slot_if_all_are_taken(void **state)
{
    (void)state;
    static thread_state all[SLOTS];
    thread_state one = fresh();
    for (size_t i = 0; i < SLOTS; i++)
        assert_true(tsmbr_thread_take(&all[i]));
    assert_false(tsmbr_thread_take(&one));
    thread_ends(&all[200]);
    assert_true(tsmbr_thread_take(&one)); /* it may try again */
    assert_int_equal(one.slot, 200);
    assert_int_equal(one.group, slot_group(200));
    assert_int_equal(one.offset, 200 % 32 * sizeof(lane));
    all[200] = one;
    for (size_t i = 0; i < SLOTS; i++)
        thread_ends(&all[i]);
    assert_slots_taken(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_there_before_main),  cmocka_unit_test(a_slot_is_taken_and_given_back),
        cmocka_unit_test(no_slot_if_the_system_refuses), cmocka_unit_test(no_slot_without_a_key),
        cmocka_unit_test(no_slot_if_all_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
