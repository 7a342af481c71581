/* Arithmetic: exhaustively against a naive search on small numbers, then at the edges of size_t. */
#include "support.h"

#include "place.h"

/* The answer by trying every address. */
static bool naive_fit(size_t base, size_t capacity, size_t next, size_t bytes, size_t alignment, size_t *offset)
{
    for (size_t o = next; o <= capacity; o++)
        if ((base + o) % alignment == 0 && bytes <= capacity - o) {
            *offset = o;
            return true;
        }
    return false;
}

static void fit_is_exact(void **state)
{
    (void)state;
    size_t fits = 0, misses = 0;
    for (size_t base = 0; base < 20; base++)
        for (size_t capacity = 0; capacity < 24; capacity++)
            for (size_t next = 0; next <= capacity; next++)
                for (size_t bytes = 1; bytes < 26; bytes++)
                    for (size_t alignment = 1; alignment <= 32; alignment *= 2) {
                        size_t offset = 0, end = 0, expected = 0;
                        bool fit = place_fit(base, capacity, next, bytes, alignment, &offset, &end);
                        assert_int_equal(fit, naive_fit(base, capacity, next, bytes, alignment, &expected));
                        if (fit) {
                            assert_int_equal(offset, expected);
                            assert_int_equal(end, offset + bytes);
                        }
                        fits += fit;
                        misses += !fit;
                    }
    assert_true(fits > 10000 && misses > 10000);
}

static void fit_does_not_wrap(void **state)
{
    (void)state;
    size_t offset = 7, end = 7;
    const size_t top = (size_t)1 << (sizeof(size_t) * 8 - 1);
    for (size_t k = 0; k < 300; k++) {
        assert_false(place_fit(4096, 1000, 10, SIZE_MAX - k, 8, &offset, &end));
        assert_false(place_fit(4096, 1000, 10, SIZE_MAX - k, top, &offset, &end));
        assert_false(place_fit(SIZE_MAX - 2000, 1000, 1000 - k, 301, 1, &offset, &end));
    }
    /* A chunk that ends with the address space, filled to the last byte. */
    assert_true(place_fit(SIZE_MAX - 64, 64, 0, 64, 1, &offset, &end));
    assert_int_equal(end, 64);
    /* The next multiple of the alignment would be address 2^64. */
    assert_false(place_fit(SIZE_MAX - 64, 64, 0, 1, 4096, &offset, &end));
    assert_false(place_fit(top + 1, 100, 0, 1, top, &offset, &end));
    assert_true(place_fit(top - 1, 100, 0, 1, top, &offset, &end));
    assert_int_equal(offset, 1);
}

static void record_is_on_a_line_of_its_own(void **state)
{
    (void)state;
    for (size_t base = 4096; base < 4096 + 130; base++)
        for (size_t total = 0; total < 700; total++) {
            size_t capacity = SIZE_MAX;
            bool room = place_record(base, total, &capacity);
            /* Everything from 127 bytes on has a whole aligned line in it. */
            assert_true(room || total < PLACE_RECORD + PLACE_LINE - 1);
            if (!room)
                continue;
            assert_int_equal((base + capacity) % PLACE_LINE, 0);
            assert_true(capacity + PLACE_RECORD <= total);
            assert_true(total - capacity - PLACE_RECORD < PLACE_LINE);
        }
    size_t capacity = 0;
    assert_false(place_record(SIZE_MAX - 100, 4096, &capacity));
    assert_false(place_record(4096, SIZE_MAX, &capacity));
}

/* place_total promises: wherever the chunk lands, the block fits. */
static void total_is_enough_everywhere(void **state)
{
    (void)state;
    for (size_t base = 4096; base < 4096 + 300; base += 7)
        for (size_t bytes = 1; bytes < 400; bytes += 3)
            for (size_t alignment = 1; alignment <= 1024; alignment *= 2) {
                size_t total = 0, capacity = 0, offset = 0, end = 0;
                assert_true(place_total(bytes, alignment, &total));
                assert_true(place_record(base, total, &capacity));
                assert_true(place_fit(base, capacity, 0, bytes, alignment, &offset, &end));
            }
}

static void total_refuses_what_no_object_has(void **state)
{
    (void)state;
    size_t total = 5;
    const size_t top = (size_t)1 << (sizeof(size_t) * 8 - 1);
    for (size_t alignment = 1; alignment != 0; alignment *= 2)
        for (size_t k = 0; k < 300; k++)
            assert_false(place_total(SIZE_MAX - k, alignment, &total));
    assert_false(place_total(1, top, &total));
    assert_false(place_total(PLACE_CHUNK_MAX, 1, &total));
    assert_int_equal(total, 5);
    assert_true(place_total(PLACE_CHUNK_MAX - 127, 1, &total));
    assert_int_equal(total, PLACE_CHUNK_MAX);
    assert_int_equal(place_first_total(SIZE_MAX), PLACE_CHUNK_MAX);
    assert_int_equal(place_first_total(1000), 1127);
}

static void growth_doubles_to_a_cap(void **state)
{
    (void)state;
    size_t held = 0;
    size_t chunks = 0;
    for (; held < 10 * PLACE_GROWTH_CAP; chunks++) {
        size_t next = place_next_total(PLACE_FIRST_DEFAULT, held);
        assert_true(next >= PLACE_FIRST_DEFAULT && next <= PLACE_GROWTH_CAP);
        assert_true(next == PLACE_GROWTH_CAP || next == PLACE_FIRST_DEFAULT || next == held);
        held += next;
    }
    assert_true(chunks < 30);
    assert_int_equal(place_next_total(100, SIZE_MAX), PLACE_GROWTH_CAP);
    assert_int_equal(place_next_total(PLACE_CHUNK_MAX, 0), PLACE_CHUNK_MAX);
    assert_int_equal(place_next_total(3 * PLACE_GROWTH_CAP, 9 * PLACE_GROWTH_CAP), 3 * PLACE_GROWTH_CAP);
}

static void products_are_checked(void **state)
{
    (void)state;
    size_t product = 5;
    assert_false(place_product(SIZE_MAX, 2, &product));
    assert_false(place_product(2, SIZE_MAX, &product));
    assert_false(place_product(SIZE_MAX / 2 + 1, 2, &product));
    assert_int_equal(product, 5);
    assert_true(place_product(SIZE_MAX, 1, &product));
    assert_int_equal(product, SIZE_MAX);
    assert_true(place_product(0, SIZE_MAX, &product));
    assert_int_equal(product, 0);
    assert_true(place_product(SIZE_MAX, 0, &product));
    assert_int_equal(product, 0);
}

static void alignments_are_powers_of_two(void **state)
{
    (void)state;
    size_t good = 0;
    for (size_t a = 0; a < 70000; a++)
        good += place_alignment_ok(a);
    assert_int_equal(good, 17);
    assert_false(place_alignment_ok(0));
    assert_true(place_alignment_ok(((size_t)1) << (sizeof(size_t) * 8 - 1)));
    assert_false(place_alignment_ok(SIZE_MAX));
}

/* For a block with bytes and an alignment, place_bump says what place_fit says; for no bytes and for an
 * alignment that is none it says no. */
static void assert_bump_agrees(size_t cursor, size_t room, size_t bytes, size_t alignment)
{
    size_t padding = 0, offset = 0, end = 0;
    bool bumped = place_bump(cursor, room, bytes, alignment, &padding);
    if (bytes == 0 || !place_alignment_ok(alignment)) {
        assert_false(bumped);
        return;
    }
    assert_int_equal(bumped, place_fit(cursor, room, 0, bytes, alignment, &offset, &end));
    if (bumped) {
        assert_int_equal(padding, offset);
        assert_int_equal(padding + bytes, end);
    }
}

static void bump_agrees_with_fit(void **state)
{
    (void)state;
    for (size_t cursor = 4096; cursor < 4096 + 20; cursor++)
        for (size_t room = 0; room < 40; room++)
            for (size_t bytes = 0; bytes < 45; bytes++)
                for (size_t alignment = 0; alignment < 40; alignment++)
                    assert_bump_agrees(cursor, room, bytes, alignment);
    /* An empty lane has no room, whatever is asked of it. */
    for (size_t bytes = 0; bytes < 100; bytes++)
        for (size_t alignment = 0; alignment < 100; alignment++)
            assert_bump_agrees(0, 0, bytes, alignment);
}

static void bump_does_not_wrap(void **state)
{
    (void)state;
    dice d = dice_make(run_seed(), 1);
    for (int i = 0; i < 2000000; i++) {
        size_t cursor = (size_t)dice_roll(&d) >> dice_below(&d, sizeof(size_t) * 8);
        size_t room = (size_t)dice_roll(&d) >> dice_below(&d, sizeof(size_t) * 8);
        if (dice_below(&d, 4) == 0)
            cursor = SIZE_MAX - dice_below(&d, 300);
        cursor += cursor == 0; /* a lane there has no room */
        if (room > SIZE_MAX - cursor)
            room = SIZE_MAX - cursor;
        size_t bytes = (size_t)dice_roll(&d) >> dice_below(&d, sizeof(size_t) * 8);
        switch (dice_below(&d, 4)) {
        case 0:
            bytes = room + 2 - dice_below(&d, 4);
            break;
        case 1:
            bytes = 0 - dice_below(&d, 300);
            break;
        default:
            break;
        }
        size_t alignment = (size_t)1 << dice_below(&d, sizeof(size_t) * 8);
        if (dice_below(&d, 4) == 0)
            alignment = (size_t)dice_roll(&d) >> dice_below(&d, sizeof(size_t) * 8);
        assert_bump_agrees(cursor, room, bytes, alignment);
    }
}

static void runs_are_a_small_part_of_their_chunk(void **state)
{
    (void)state;
    assert_int_equal(PLACE_LANES_FROM, 16384);
    assert_int_equal(PLACE_RUN_LEAST, 256);
    assert_int_equal(PLACE_RUN_MOST, 2 << 20);
    assert_int_equal(PLACE_EQUAL_UP_TO, 1 << 20);
    for (size_t capacity = 0; capacity < PLACE_LANES_FROM; capacity++) {
        assert_int_equal(place_run(0, capacity / PLACE_RUN_PART), 0);
        assert_int_equal(place_run(SIZE_MAX, capacity / PLACE_RUN_PART), 0);
        assert_int_equal(place_tables(capacity), 0);
    }
    for (size_t capacity = PLACE_LANES_FROM; capacity < 3 * PLACE_GROWTH_CAP; capacity += capacity / 97) {
        size_t part = capacity / PLACE_RUN_PART;
        const size_t shares[] = {8, 8, 8, 2, 2, 1, 1, 1};
        for (size_t lanes = 0; lanes < sizeof shares / sizeof *shares; lanes++) {
            assert_int_equal(place_run_part(capacity, false, lanes), shares[lanes] * part);
            size_t lent = capacity <= PLACE_EQUAL_UP_TO ? 1 : shares[lanes];
            assert_int_equal(place_run_part(capacity, true, lanes), lent * part);
        }
        size_t least = place_run(0, part), most = place_run(SIZE_MAX, part);
        assert_true(PLACE_RUN_LEAST <= least && least <= most && most <= PLACE_RUN_MOST);
        assert_true(most == PLACE_RUN_MOST || most == part);
        assert_true(least == PLACE_RUN_LEAST || least == most / 16);
        for (size_t wanted = 1; wanted < 4 * PLACE_RUN_MOST; wanted += wanted / 5 + 1) {
            size_t run = place_run(wanted, part);
            assert_int_equal(run, wanted < least ? least : wanted > most ? most : wanted);
        }
        /* A thread that keeps coming back has the largest soon. */
        size_t run = place_run(0, part), steps = 0;
        for (; run < most; steps++)
            run = place_run(2 * run, part);
        assert_true(steps <= 10);
        assert_int_equal(place_table_part(capacity, true), part);
        assert_int_equal(place_table_part(capacity, false), capacity / 12);
        size_t tables = place_tables(capacity);
        assert_int_equal(tables, capacity / 11 < 33 * 128 ? capacity / 11 : 33 * 128);
    }
    assert_int_equal(place_run_part(PLACE_EQUAL_UP_TO, true, 1), PLACE_EQUAL_UP_TO / 64);
    assert_int_equal(place_run_part(PLACE_EQUAL_UP_TO + 1, true, 1), PLACE_EQUAL_UP_TO / 8);
    assert_int_equal(place_run(0, PLACE_LANES_FROM / PLACE_RUN_PART), PLACE_RUN_LEAST);
    assert_int_equal(place_run(SIZE_MAX, SIZE_MAX), PLACE_RUN_MOST);
    assert_int_equal(place_tables(SIZE_MAX), 33 * 128);
}

/* What is set aside for a table is enough for any that is made then: its place makes the chunk larger, too. */
static void tables_fit_in_what_is_set_aside(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 70000; bytes++) {
        size_t aside = place_tables(bytes + PLACE_LINE - 1), most = bytes + aside + PLACE_LINE - 1;
        for (size_t lanes = 1; lanes <= 32 && PLACE_LANES_FROM <= most; lanes *= 2)
            assert_true(lanes * 128 + 127 > place_table_part(most, false) || lanes * 128 + 127 <= aside);
    }
}

static void runs_are_filled_by_blocks_that_are_alike(void **state)
{
    (void)state;
    assert_int_equal(place_run_filled(16384, 1821, 1), 16384 - 16384 % 1821);
    for (size_t alignment = 1; alignment <= 64; alignment *= 2)
        for (size_t bytes = 1; bytes < 300; bytes++) {
            size_t each = (bytes + alignment - 1) / alignment * alignment;
            for (size_t fresh = bytes; fresh < 700; fresh += 7)
                assert_int_equal(place_run_filled(fresh, bytes, alignment),
                                 each <= fresh ? fresh / each * each : fresh);
        }
}

/* Eight blocks of the kind, padded at worst, fit in the run. */
static void runs_serve_what_is_small(void **state)
{
    (void)state;
    for (size_t run = 1; run < 5000; run += 1 + run / 20)
        for (size_t alignment = 1; alignment != 0; alignment *= 2)
            for (size_t bytes = 1; bytes < 700; bytes++) {
                bool small = alignment < 5000 && bytes + (alignment - 1) <= run / 8;
                assert_int_equal(place_run_serves(run, bytes, alignment), small);
            }
    for (size_t alignment = 1; alignment != 0; alignment *= 2)
        for (size_t k = 0; k < 300; k++)
            assert_false(place_run_serves(PLACE_RUN_MOST, SIZE_MAX - k, alignment));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fit_is_exact),
        cmocka_unit_test(fit_does_not_wrap),
        cmocka_unit_test(record_is_on_a_line_of_its_own),
        cmocka_unit_test(total_is_enough_everywhere),
        cmocka_unit_test(total_refuses_what_no_object_has),
        cmocka_unit_test(growth_doubles_to_a_cap),
        cmocka_unit_test(products_are_checked),
        cmocka_unit_test(alignments_are_powers_of_two),
        cmocka_unit_test(bump_agrees_with_fit),
        cmocka_unit_test(bump_does_not_wrap),
        cmocka_unit_test(runs_are_a_small_part_of_their_chunk),
        cmocka_unit_test(tables_fit_in_what_is_set_aside),
        cmocka_unit_test(runs_serve_what_is_small),
        cmocka_unit_test(runs_are_filled_by_blocks_that_are_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
