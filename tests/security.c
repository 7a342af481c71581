/* What an attacker can choose: sizes, alignments, counts, widths, pointers. docs/security.md says what for. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#if !defined(_WIN32)
#include <sys/mman.h>
#include <unistd.h>
#endif

/* Numbers at which arithmetic goes wrong: around powers of two, around the top, and any. */
static size_t hostile_number(dice *d)
{
    size_t around = (size_t)1 << dice_below(d, sizeof(size_t) * 8);
    switch (dice_below(d, 6)) {
    case 0:
        return around + dice_below(d, 300) - 150;
    case 1:
        return SIZE_MAX - dice_below(d, 5000);
    case 2:
        return (size_t)PTRDIFF_MAX + dice_below(d, 5000) - 2500;
    case 3:
        return (size_t)dice_roll(d);
    case 4:
        return 0 - around;
    default:
        return dice_below(d, 3000);
    }
}

/* Powers of two, all of them, and what is none. */
static size_t hostile_alignment(dice *d)
{
    return dice_below(d, 4) == 0 ? hostile_number(d) : (size_t)1 << dice_below(d, sizeof(size_t) * 8);
}

static bool power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* Whatever one call of the family is asked: the block and its size, or NULL and the right errno. */
static void *hostile_call(dice *d, tsmbr_resource *r, size_t *bytes)
{
    size_t alignment = hostile_alignment(d);
    size_t count = hostile_number(d);
    *bytes = hostile_number(d);
    errno = 0;
    void *p = NULL;
    switch (dice_below(d, 5)) {
    case 0:
        p = tsmbr_allocate(r, *bytes, alignment);
        break;
    case 1:
        p = tsmbr_try_allocate(r, *bytes, alignment);
        assert_int_equal(errno, 0);
        return p;
    case 2:
        p = tsmbr_allocate_array(r, count, *bytes, alignment);
        assert_true(p == NULL || *bytes == 0 || count <= SIZE_MAX / *bytes);
        *bytes *= count;
        break;
    case 3:
        alignment = 1;
        p = tsmbr_calloc(r, count, *bytes);
        assert_true(p == NULL || *bytes == 0 || count <= SIZE_MAX / *bytes);
        *bytes *= count;
        break;
    default:
        p = tsmbr_reallocate(r, NULL, 0, *bytes, alignment);
        break;
    }
    assert_int_equal(errno, p != NULL ? 0 : power_of_two(alignment) ? ENOMEM : EINVAL);
    assert_true(p == NULL || ((uintptr_t)p & (alignment - 1)) == 0);
    return p;
}

static void any_size_and_alignment_is_served_or_refused(void **state)
{
    (void)state;
    dice d = dice_make(run_seed(), 1);
    size_t served = 0;
    for (unsigned flags = 0; flags <= TSMBR_SHARED_ONLY; flags += TSMBR_SHARED_ONLY)
        for (size_t round = 0; round < rounds_for(40); round++) {
            watch w;
            watch_open(&w);
            w.refuse_above = (size_t)1 << 22; /* the upstream's good sense */
            tsmbr_resource r;
            size_t limit = round % 2 == 0 ? (size_t)1 << 20 : 0;
            assert_int_equal(
                tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = limit, .flags = flags}), 0);
            blocks b = {0};
            for (size_t i = 0; i < 300; i++) {
                size_t bytes = 0;
                void *p = hostile_call(&d, &r, &bytes);
                if (p == NULL)
                    continue;
                assert_true(watch_granted(&w, p, bytes != 0 ? bytes : 1));
                blocks_add(&b, p, bytes, i);
                served++;
            }
            assert_true(limit == 0 || w.peak <= limit);
            assert_int_equal(blocks_check(&b), 0);
            blocks_free(&b);
            tsmbr_destroy(&r);
            watch_close(&w);
        }
    assert_true(served > 10);
}

/* ---------------------------------------------------------------------- pointers of strangers -- */

/* Not a block of r: growing it fails, shrinking it has no effect, nobody owns it. A debug build aborts at both,
 * see tests/misuse/foreign_pointer_try_resize.c, and is asked only whose it is. */
static void assert_a_stranger(tsmbr_resource *r, void *ptr)
{
    const size_t sizes[] = {0,       1, 7, 100, 5000, (size_t)1 << 20, PTRDIFF_MAX, SIZE_MAX / 2 + 2, SIZE_MAX - 1,
                            SIZE_MAX};
    tsmbr_statistics before, after;
    tsmbr_get_statistics(r, &before);
#ifdef TSMBR_DEBUG
    const size_t count = 0;
#else
    const size_t count = sizeof sizes / sizeof sizes[0];
#endif
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            size_t old_bytes = sizes[i] != 0 ? sizes[i] : 1;
            size_t new_bytes = sizes[k] != 0 ? sizes[k] : 1;
            assert_int_equal(tsmbr_try_resize(r, ptr, sizes[i], sizes[k]), ptr != NULL && new_bytes <= old_bytes);
        }
    assert_false(tsmbr_owns(r, ptr));
    tsmbr_get_statistics(r, &after);
    assert_memory_equal(&before, &after, sizeof before);
}

static void pointers_of_strangers_change_nothing(void **state)
{
    (void)state;
#if !defined(_WIN32)
    /* A look at what a pointer points to, or before it, would end the test, in any build. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *untouchable = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(untouchable, MAP_FAILED);
#endif
    for (size_t initial = 100; initial <= 1000000; initial *= 100) { /* without lanes, and with */
        static unsigned char elsewhere[100];
        unsigned char on_the_stack[100];
        watch w;
        watch_open(&w);
        tsmbr_resource r, other;
        assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .initial_size = initial}), 0);
        assert_int_equal(tsmbr_init(&other, NULL), 0);
        blocks b = {0};
        for (size_t i = 0; i < 300; i++)
            blocks_add(&b, tsmbr_allocate(&r, i, 8), i, i);
        unsigned char *of_other = tsmbr_allocate(&other, 100, 1);
        assert_non_null(of_other);
        const size_t addresses[] = {0, 1, 4095, SIZE_MAX / 2, SIZE_MAX - 100, SIZE_MAX};
        for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
            assert_a_stranger(&r, (void *)(uintptr_t)addresses[i]); /* NOLINT(performance-no-int-to-ptr) */
#if !defined(_WIN32)
        assert_a_stranger(&r, untouchable);
        assert_a_stranger(&r, untouchable + page);
        assert_a_stranger(&r, untouchable + 2 * page - 1);
#endif
        assert_a_stranger(&r, elsewhere);
        assert_a_stranger(&r, on_the_stack);
        assert_a_stranger(&r, of_other);
        assert_a_stranger(&r, &r);
        assert_a_stranger(&r, &w.upstream);
        assert_int_equal(blocks_check(&b), 0);
        blocks_free(&b);
        tsmbr_destroy(&other);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
#if !defined(_WIN32)
    assert_int_equal(munmap(untouchable, 2 * page), 0);
#endif
}

/* --------------------------------------------------------------------------- allocation bombs -- */

static void count_up(void *argument)
{
    ++*(size_t *)argument;
}

static void whoever_asks_for_everything_gets_the_limit(void **state)
{
    (void)state;
    const size_t limit = (size_t)1 << 20;
    dice d = dice_make(run_seed(), 2);
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = limit}), 0);
    for (int life = 0; life < 6; life++) {
        size_t cleanups = 0;
        size_t registered = 0;
        for (size_t i = 0; i < 100000; i++) {
            size_t bytes = dice_size(&d, 2 * limit);
            switch ((i + (size_t)life) % 4) {
            case 0:
                (void)!tsmbr_allocate(&r, bytes, dice_alignment(&d, 1 << 16));
                break;
            case 1:
                (void)!tsmbr_calloc(&r, bytes, 1 + dice_below(&d, 100));
                break;
            case 2:
                (void)!tsmbr_reserve(&r, bytes);
                break;
            default:
                registered += tsmbr_on_release(&r, count_up, &cleanups) == 0;
            }
            if (i % 1000 == 0)
                assert_true(w.held <= limit);
        }
        assert_true(w.peak <= limit);
        assert_null(tsmbr_allocate(&r, limit, 1));
        assert_int_equal(errno, ENOMEM);
        if (life % 2 == 0)
            tsmbr_reset(&r, SIZE_MAX);
        else
            tsmbr_release(&r);
        assert_true(registered > 0);
        assert_int_equal(cleanups, registered);
        assert_non_null(tsmbr_allocate(&r, 1000, 8)); /* nothing is lost for good */
    }
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* A width that a text brings along may ask for any number of bytes. Of a text: mingw-w64's vsnprintf puts numbers
 * on the stack, with all their width. */
static void a_long_text_is_refused_by_the_limit(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream, .limit = 100000}), 0);
    errno = 0;
    assert_null(tsmbr_printf(&r, "%*s", 20000000, "1"));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(w.calls, 0);
    const char *text = tsmbr_printf(&r, "%*s", 2000, "1");
    assert_non_null(text);
    assert_int_equal(strlen(text), 2000);
    tsmbr_destroy(&r);
    watch_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_and_alignment_is_served_or_refused),
        cmocka_unit_test(pointers_of_strangers_change_nothing),
        cmocka_unit_test(whoever_asks_for_everything_gets_the_limit),
        cmocka_unit_test(a_long_text_is_refused_by_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
