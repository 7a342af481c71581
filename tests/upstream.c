/* The upstreams that come with the library. */
#include "support.h"

#include <string.h>

static void malloc_aligns_as_asked(void **state)
{
    (void)state;
    const tsmbr_upstream *both[] = {tsmbr_malloc_upstream(), tsmbr_system_upstream()};
    for (int u = 0; u < 2; u++)
        for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2)
            for (size_t bytes = 1; bytes <= 1 << 20; bytes = bytes * 5 + 1) {
                char *p = both[u]->allocate(both[u]->context, bytes, alignment);
                assert_non_null(p);
                assert_int_equal((uintptr_t)p % alignment, 0);
                memset(p, 1, bytes);
                both[u]->deallocate(both[u]->context, p, bytes, alignment);
            }
}

static void malloc_refuses_the_impossible(void **state)
{
    (void)state;
    const tsmbr_upstream *u = tsmbr_malloc_upstream();
    assert_null(u->allocate(u->context, SIZE_MAX - 5000, 16));
    assert_null(u->allocate(u->context, SIZE_MAX - 5000, 4096));
    /* And the address of a chunk comes aligned for its record's atomics, whatever the caller's sizes. */
    void *p = u->allocate(u->context, 3, 1);
    assert_non_null(p);
    u->deallocate(u->context, p, 3, 1);
}

static void null_refuses_everything(void **state)
{
    (void)state;
    const tsmbr_upstream *u = tsmbr_null_upstream();
    assert_null(u->allocate(u->context, 1, 1));
    assert_null(u->allocate(u->context, 0, 1));
    u->deallocate(u->context, NULL, 0, 1);
}

static void they_are_the_same_every_time(void **state)
{
    (void)state;
    assert_ptr_equal(tsmbr_malloc_upstream(), tsmbr_malloc_upstream());
    assert_ptr_equal(tsmbr_null_upstream(), tsmbr_null_upstream());
    assert_ptr_equal(tsmbr_system_upstream(), tsmbr_system_upstream());
    assert_ptr_not_equal(tsmbr_null_upstream(), tsmbr_malloc_upstream());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc_aligns_as_asked),
        cmocka_unit_test(malloc_refuses_the_impossible),
        cmocka_unit_test(null_refuses_everything),
        cmocka_unit_test(they_are_the_same_every_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
