/* Copies and formatted text. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#if defined(__GLIBC__)
#include <printf.h>
#endif

static void texts_are_copied(void **state)
{
    (void)state;
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    char source[] = "a text";
    char *copy = tsmbr_strdup(&r, source);
    source[0] = 'X';
    assert_string_equal(copy, "a text");
    assert_string_equal(tsmbr_strdup(&r, ""), "");
    assert_string_equal(tsmbr_strndup(&r, "a text", 1), "a");
    assert_string_equal(tsmbr_strndup(&r, "a text", 100), "a text");
    assert_string_equal(tsmbr_strndup(&r, "a text", 0), "");
    assert_string_equal(tsmbr_strndup(&r, "a text", SIZE_MAX), "a text");
    /* The text need not end. */
    const char open_ended[3] = {'a', 'b', 'c'};
    assert_string_equal(tsmbr_strndup(&r, open_ended, 3), "abc");
    errno = 0;
    assert_null(tsmbr_strdup(&r, NULL));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    for (size_t k = 0; k < 3; k++) {
        errno = 0;
        assert_null(tsmbr_strndup(&r, NULL, k));
        assert_int_equal(errno, EINVAL);
        errno = 0;
        assert_null(tsmbr_strndup(&r, NULL, SIZE_MAX - k));
        assert_int_equal(errno, EINVAL);
    }
    tsmbr_destroy(&r);
}

/* Right behind each other, wherever that is. */
static void texts_are_aligned_to_one_byte(void **state)
{
    (void)state;
    char buffer[100];
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = buffer, .buffer_size = 100});
    assert_ptr_equal(tsmbr_strdup(&r, "one"), buffer);
    assert_ptr_equal(tsmbr_strndup(&r, "two", 2), buffer + 4);
    assert_ptr_equal(tsmbr_printf(&r, "%d", 3), buffer + 7);
    assert_ptr_equal(print_arguments(&r, "%s", "four"), buffer + 9);
    assert_ptr_equal(tsmbr_strdup(&r, ""), buffer + 14);
    tsmbr_destroy(&r);
}

static void memory_is_copied(void **state)
{
    (void)state;
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    const double numbers[] = {1, 2, 3};
    assert_non_null(tsmbr_allocate(&r, 1, 1));
    const double *copy = tsmbr_memdup(&r, numbers, sizeof numbers);
    assert_int_equal((uintptr_t)copy % MAX_ALIGNMENT, 0);
    assert_memory_equal(copy, numbers, sizeof numbers);
    assert_non_null(tsmbr_memdup(&r, NULL, 0));
    errno = 0;
    assert_null(tsmbr_memdup(&r, NULL, 1));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(tsmbr_memdup(&r, numbers, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    tsmbr_destroy(&r);
}

static void calloc_zeroes_and_checks_the_product(void **state)
{
    (void)state;
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    for (int round = 0; round < 2; round++) {
        memset(tsmbr_allocate(&r, 1500, 1), 0xFF, 1500);
        tsmbr_reset(&r, SIZE_MAX); /* dirty memory to come */
        const char *p = tsmbr_calloc(&r, 100, 7);
        assert_int_equal((uintptr_t)p % MAX_ALIGNMENT, 0);
        for (int i = 0; i < 700; i++)
            assert_int_equal(p[i], 0);
    }
    assert_non_null(tsmbr_calloc(&r, 0, 8));
    assert_non_null(tsmbr_calloc(&r, 8, 0));
    const size_t root = (size_t)1 << (sizeof(size_t) * 4);
    const size_t bad[][2] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX}, {root, root}, {root + 1, root - 1}, {SIZE_MAX, SIZE_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        assert_null(tsmbr_calloc(&r, bad[i][0], bad[i][1]));
        assert_int_equal(errno, ENOMEM);
        assert_null(tsmbr_allocate_array(&r, bad[i][0], bad[i][1], 1));
    }
    tsmbr_destroy(&r);
}

static void text_is_formatted(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_string_equal(tsmbr_printf(&r, "%s-%d", "tsmbr", 42), "tsmbr-42");
    assert_string_equal(tsmbr_printf(&r, "%s", ""), "");
    assert_string_equal(tsmbr_printf(&r, "%zu %hhd %jd", SIZE_MAX / SIZE_MAX, (signed char)-2, INTMAX_C(3)),
                        "1 -2 3");
    char *wide = tsmbr_printf(&r, "%50000d", 7);
    assert_int_equal(strlen(wide), 50000);
    assert_int_equal(wide[49999], '7');
    w.fail_every = 1;
    errno = 0;
    assert_null(tsmbr_printf(&r, "%200000d", 7));
    assert_int_equal(errno, ENOMEM);
    tsmbr_destroy(&r);
    watch_close(&w);
}

/* tsmbr_vprintf reads its arguments twice, and some types come by other ways than others. */
static void arguments_are_formatted(void **state)
{
    (void)state;
    watch w;
    watch_open(&w);
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
    assert_string_equal(
        print_arguments(&r, "%s %d %.2f %c %*d %zu", "some", -1, 0.25, 'x', 5, 42, SIZE_MAX / SIZE_MAX),
        "some -1 0.25 x    42 1");
    assert_string_equal(print_arguments(&r, "%d%d%d%d%d%d%d%d%d", 1, 2, 3, 4, 5, 6, 7, 8, 9), "123456789");
    assert_string_equal(print_arguments(&r, "%s", ""), "");
    w.fail_every = 1;
    errno = 0;
    assert_null(print_arguments(&r, "%200000s", "far"));
    assert_int_equal(errno, ENOMEM);
    tsmbr_destroy(&r);
    watch_close(&w);
}

#if !defined(_WIN32) /* whose wide characters are others */
/* A character that the locale, "C", has no bytes for. */
static void what_vsnprintf_reports_is_passed_on(void **state)
{
    (void)state;
    const wchar_t no_character[] = {0x7FFFFFFF, 0};
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    assert_non_null(tsmbr_allocate(&r, 1, 1));
    tsmbr_statistics before, after;
    tsmbr_get_statistics(&r, &before);
    errno = 0;
    assert_null(tsmbr_printf(&r, "%ls", no_character));
    assert_int_equal(errno, EILSEQ);
    errno = 0;
    assert_null(print_arguments(&r, "%s%ls", "before it", no_character));
    assert_int_equal(errno, EILSEQ);
    tsmbr_get_statistics(&r, &after);
    assert_memory_equal(&before, &after, sizeof before);
    tsmbr_destroy(&r);
}
#endif

#if defined(__GLIBC__) /* which lets a program have conversions of its own */
static unsigned conversions;

/* The second time it fails, as %f of many digits does if malloc refuses. */
static int convert(FILE *file, const struct printf_info *info, const void *const *arguments)
{
    (void)info;
    (void)arguments;
    if (++conversions % 2 == 0) {
        errno = ENOMEM;
        return -1;
    }
    return fprintf(file, "%0100d", 0);
}

static int convert_nothing(const struct printf_info *info, size_t count, int *types, int *sizes)
{
    (void)info;
    (void)count;
    (void)types;
    (void)sizes;
    return 0;
}

static void what_it_reports_late_is_passed_on(void **state)
{
    (void)state;
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    assert_non_null(tsmbr_allocate(&r, 1, 1));
    assert_int_equal(register_printf_specifier('W', convert, convert_nothing), 0);
    char *(*const print)(tsmbr_resource *, const char *, ...) = tsmbr_printf; /* checks no formats */
    tsmbr_statistics before, after;
    tsmbr_get_statistics(&r, &before);
    errno = 0;
    assert_null(print(&r, "text and %W"));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(conversions, 2);
    tsmbr_get_statistics(&r, &after);
    assert_int_equal(after.allocated_bytes, before.allocated_bytes + 1);
    assert_int_equal(register_printf_specifier('W', NULL, NULL), 0);
    tsmbr_destroy(&r);
}
#endif

static void failures_are_reported(void **state)
{
    (void)state;
    tsmbr_resource r;
    tsmbr_init(&r, &(tsmbr_config){.upstream = tsmbr_null_upstream()});
    void *nothing[5];
    errno = 0;
    nothing[0] = tsmbr_strdup(&r, "x");
    assert_int_equal(errno, ENOMEM);
    nothing[1] = tsmbr_strndup(&r, "x", 1);
    nothing[2] = tsmbr_memdup(&r, "x", 1);
    nothing[3] = tsmbr_calloc(&r, 1, 1);
    errno = 0;
    nothing[4] = tsmbr_printf(&r, "x");
    assert_int_equal(errno, ENOMEM);
    for (int i = 0; i < 5; i++)
        assert_null(nothing[i]);
    tsmbr_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(texts_are_aligned_to_one_byte),
        cmocka_unit_test(memory_is_copied),
        cmocka_unit_test(calloc_zeroes_and_checks_the_product),
        cmocka_unit_test(text_is_formatted),
        cmocka_unit_test(arguments_are_formatted),
#if !defined(_WIN32)
        cmocka_unit_test(what_vsnprintf_reports_is_passed_on),
#endif
#if defined(__GLIBC__)
        cmocka_unit_test(what_it_reports_late_is_passed_on),
#endif
        cmocka_unit_test(failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
