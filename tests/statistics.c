/* Statistics and ownership at rest; what Count has counted. */
#include "support.h"

#include <string.h>

static tsmbr_statistics statistics_of(const tsmbr_resource *r)
{
    tsmbr_statistics s;
    memset(&s, 0xFF, sizeof s);
    tsmbr_get_statistics(r, &s);
    return s;
}

static void a_fresh_resource_has_nothing(void **state)
{
    (void)state;
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    const tsmbr_statistics nothing = {0};
    tsmbr_statistics s = statistics_of(&r);
    assert_memory_equal(&s, &nothing, sizeof s);
    assert_false(tsmbr_owns(&r, &r));
    assert_false(tsmbr_owns(&r, NULL));
    char buffer[10];
    tsmbr_init(&r, &(tsmbr_config){.buffer = buffer, .buffer_size = 10});
    s = statistics_of(&r);
    assert_memory_equal(&s, &nothing, sizeof s);
    assert_false(tsmbr_owns(&r, buffer));
    tsmbr_destroy(&r);
}

static void allocated_bytes_are_exact(void **state)
{
    (void)state;
    _Alignas(64) char buffer[1024];
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer});
    assert_non_null(tsmbr_allocate(&r, 1, 1));
    assert_int_equal(statistics_of(&r).allocated_bytes, 1);
    assert_non_null(tsmbr_allocate(&r, 1, 64)); /* 63 bytes of padding */
    assert_int_equal(statistics_of(&r).allocated_bytes, 65);
    char *p = tsmbr_allocate(&r, 35, 1);
    assert_int_equal(statistics_of(&r).allocated_bytes, 100);
    assert_true(tsmbr_try_resize(&r, p, 35, 135));
    assert_int_equal(statistics_of(&r).allocated_bytes, 200);
    assert_true(tsmbr_try_resize(&r, p, 135, 35));
    assert_int_equal(statistics_of(&r).allocated_bytes, 100);
    assert_int_equal(statistics_of(&r).reserved_bytes, 0);
    assert_int_equal(statistics_of(&r).chunks, 0);
    tsmbr_destroy(&r);
}

static void reserved_bytes_are_what_the_upstream_gave(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    dice d = dice_make(run_seed(), 3);
    size_t asked = 0, peak = 0;
    for (int i = 0; i < 30000; i++) {
        size_t bytes = dice_size(&d, 3000);
        assert_non_null(tsmbr_allocate(&r, bytes, 1));
        asked += bytes == 0 ? 1 : bytes;
        if (i % 50 == 0) {
            tsmbr_statistics s = statistics_of(&r);
            assert_int_equal(s.reserved_bytes, w.held);
            assert_int_equal(s.chunks, w.live);
            assert_int_equal(s.allocated_bytes, asked);
            assert_int_equal(s.peak_reserved_bytes, w.peak);
            assert_true(s.allocated_bytes + s.wasted_bytes <= s.reserved_bytes);
            assert_int_equal(s.lost_races, 0);
            peak = s.peak_reserved_bytes;
        }
    }
    tsmbr_release(&r);
    assert_int_equal(statistics_of(&r).peak_reserved_bytes, w.peak);
    assert_true(w.peak >= peak && peak > 0);
    tsmbr_destroy(&r);
    watch_close(&w);
}

static void ends_left_behind_are_wasted(void **state)
{
    (void)state;
    char buffer[1000];
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer, .initial_size = 100000});
    assert_non_null(tsmbr_allocate(&r, 900, 1));
    assert_int_equal(statistics_of(&r).wasted_bytes, 0);
    assert_non_null(tsmbr_allocate(&r, 101, 1)); /* a new chunk becomes current */
    assert_int_equal(statistics_of(&r).wasted_bytes, 100);
    tsmbr_release(&r);
    assert_int_equal(statistics_of(&r).wasted_bytes, 0);
    tsmbr_destroy(&r);
}

static void owns_knows_every_chunk(void **state)
{
    (void)state;
    char buffer[300];
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.buffer = buffer, .buffer_size = sizeof buffer});
    char *all[3000];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++) {
            all[i] = tsmbr_allocate(&r, i % 50 == 7 ? 20000 : 20, 4);
            assert_non_null(all[i]);
        }
        for (int i = 0; i < 3000; i++) {
            assert_true(tsmbr_owns(&r, all[i]));
            assert_true(tsmbr_owns(&r, all[i] + 19));
        }
        assert_false(tsmbr_owns(&r, all));
        assert_false(tsmbr_owns(&r, NULL));
        tsmbr_reset(&r, round == 0 ? SIZE_MAX : 0);
        assert_false(tsmbr_owns(&r, all[0])); /* forgotten, though the memory is kept */
        assert_false(tsmbr_owns(&r, buffer));
    }
    tsmbr_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_resource_has_nothing),
        cmocka_unit_test(allocated_bytes_are_exact),
        cmocka_unit_test(reserved_bytes_are_what_the_upstream_gave),
        cmocka_unit_test(ends_left_behind_are_wasted),
        cmocka_unit_test(owns_knows_every_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
