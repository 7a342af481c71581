/* Memory that the system upstream maps: where it lies, that its ends are the program's, that it goes back. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* mincore, syscall */
#endif
#include "sanitizers.h"
#include "support.h"

#include <stdio.h>

#if !defined(__linux__)
int main(void)
{
    puts("mapping: how mappings are counted is known for Linux only; nothing was tested");
    return 77; /* skipped */
}
#else

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

#define WATCHED (UNDER_ASAN || UNDER_TSAN)

/* In place of the C library's: what the system does, unless the test says that it refuses. */
static bool unmapping_is_refused;
static bool populating_is_unknown;
static size_t advised_huge; /* bytes of the last mapping for which huge pages were asked for */

int munmap(void *ptr, size_t bytes)
{
    if (unmapping_is_refused) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_munmap, ptr, bytes);
}

int madvise(void *ptr, size_t bytes, int advice)
{
#if defined(MADV_POPULATE_WRITE)
    if (populating_is_unknown && advice == MADV_POPULATE_WRITE) {
        errno = EINVAL;
        return -1;
    }
#endif
#if defined(MADV_HUGEPAGE)
    if (advice == MADV_HUGEPAGE)
        advised_huge = bytes;
#endif
    return (int)syscall(SYS_madvise, ptr, bytes, advice);
}

/* What qemu-user shows of mappings, resident pages and limits is its own. */
static void skip_if_emulated(void)
{
    if (emulator() != NULL)
        skip();
}

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned char *ask(const tsmbr_upstream *u, size_t bytes, size_t alignment)
{
    return u->allocate(u->context, bytes, alignment);
}

static void give(const tsmbr_upstream *u, void *ptr, size_t bytes, size_t alignment)
{
    u->deallocate(u->context, ptr, bytes, alignment);
}

static bool aligned(const void *ptr, size_t alignment)
{
    return ((uintptr_t)ptr & (alignment - 1)) == 0;
}

/* How many pages from the one that ptr lies on are mapped, or resident, of those that bytes cover. */
static size_t pages(const unsigned char *ptr, size_t bytes, bool resident)
{
    size_t count = 0;
    uintptr_t end = (uintptr_t)ptr + bytes;
    for (uintptr_t at = (uintptr_t)ptr & ~(uintptr_t)(page() - 1); at < end; at += page()) {
        unsigned char in = 0;
        if (mincore((void *)at, 1, &in) == 0) /* NOLINT(performance-no-int-to-ptr) */
            count += resident ? in & 1 : 1;
        else
            assert_int_equal(errno, ENOMEM);
    }
    return count;
}

/* Bytes of address space. */
static size_t mapped_bytes(void)
{
    size_t total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu", &total), 1);
    (void)fclose(f);
    return total * page();
}

/* From 2 MiB on, on a multiple of that or of the alignment asked; usable to the last byte. */
static void large_memory_begins_where_a_huge_page_can(void **state)
{
    (void)state;
    const tsmbr_upstream *both[] = {tsmbr_system_upstream(), tsmbr_prefault_upstream()};
    const size_t sizes[] = {HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE - 1, 5 * HUGE_PAGE + 12345};
    for (int u = 0; u < 2; u++)
        for (size_t alignment = 1; alignment <= 8 * HUGE_PAGE; alignment *= 2)
            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                advised_huge = 0;
                unsigned char *p = ask(both[u], sizes[i], alignment);
                assert_non_null(p);
                assert_true(aligned(p, alignment) && aligned(p, HUGE_PAGE));
#if defined(MADV_HUGEPAGE)
                assert_true(advised_huge >= sizes[i]);
#endif
                p[0] = 1;
                p[sizes[i] - 1] = 1;
                give(both[u], p, sizes[i], alignment);
            }
}

/* Mappings hand back all of their address space, the ends that alignment cost at once. */
static void mappings_leave_nothing_behind(void **state)
{
    (void)state;
    skip_if_emulated();
    const tsmbr_upstream *u = tsmbr_system_upstream();
    enum { COUNT = 40 };
    unsigned char *held[COUNT];
    size_t odd = HUGE_PAGE + 3 * page() + 1; /* so that the next mapping does not lie right by itself */
    size_t before = mapped_bytes();
    for (int i = 0; i < COUNT; i++) {
        held[i] = ask(u, odd, 1);
        assert_non_null(held[i]);
        assert_true(aligned(held[i], HUGE_PAGE));
    }
    assert_int_equal(mapped_bytes() - before, COUNT * (odd - 1 + page()));
    for (int i = 0; i < COUNT; i++)
        give(u, held[i], odd, 1);
    assert_int_equal(mapped_bytes(), before);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(pages(held[i], odd, false), 0);
}

static void prefaulted_memory_is_there_already(void **state)
{
    (void)state;
    skip_if_emulated();
    const tsmbr_upstream *lazy = tsmbr_system_upstream();
    const tsmbr_upstream *eager = tsmbr_prefault_upstream();
    size_t bytes = 3 * HUGE_PAGE + 5 * page() + 7;
    unsigned char *p = ask(lazy, bytes, 1);
    assert_non_null(p);
    assert_int_equal(pages(p, bytes, true), 0);
    give(eager, p, bytes, 1); /* what one grants the other takes back */

    p = ask(eager, bytes, 1);
    assert_non_null(p);
    assert_int_equal(pages(p, bytes, true), 3 * HUGE_PAGE / page() + 6);
    give(lazy, p, bytes, 1);

    /* Small memory is malloc's; the pages it lies on are touched. */
    bytes = 40 * page();
    p = ask(eager, bytes, 1);
    assert_non_null(p);
    assert_int_equal(pages(p, bytes, true), pages(p, bytes, false));
    give(eager, p, bytes, 1);
}

/* Linux before 5.14 knows no call for it. */
static void an_old_kernel_prefaults_by_a_write_a_page(void **state)
{
    (void)state;
    skip_if_emulated();
    const tsmbr_upstream *u = tsmbr_prefault_upstream();
    size_t bytes = 3 * HUGE_PAGE + 5 * page() + 7;
    populating_is_unknown = true;
    errno = EDOM;
    unsigned char *p = ask(u, bytes, 1);
    assert_int_equal(errno, EDOM);
    populating_is_unknown = false;
    assert_non_null(p);
    assert_int_equal(pages(p, bytes, true), 3 * HUGE_PAGE / page() + 6);
    give(u, p, bytes, 1);
}

/* As where a process has as many mappings as it may, and one is to be split: its memory goes back, its addresses
 * do not. */
static void what_cannot_be_unmapped_gives_its_memory_back(void **state)
{
    (void)state;
    skip_if_emulated();
    const tsmbr_upstream *both[] = {tsmbr_system_upstream(), tsmbr_guarded_upstream()};
    size_t bytes = 3 * HUGE_PAGE;
    for (int u = 0; u < 2; u++) {
        unsigned char *p = ask(both[u], bytes, page());
        assert_non_null(p);
        memset(p, 1, bytes);
        assert_int_equal(pages(p, bytes, true), bytes / page());
        unmapping_is_refused = true;
        give(both[u], p, bytes, page());
        unmapping_is_refused = false;
        assert_int_equal(pages(p, bytes, false), bytes / page());
        assert_int_equal(pages(p, bytes, true), 0);
        size_t guard = u == 1 ? page() : 0;
        assert_int_equal(munmap(p - guard, bytes + 2 * guard), 0);
    }
}

/* Runs the check in a process of its own, whose address space may grow by so many bytes. */
static void in_little_space(size_t bytes, bool (*check)(void))
{
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        struct rlimit most = {mapped_bytes() + bytes, RLIM_INFINITY};
        _exit(setrlimit(RLIMIT_AS, &most) == 0 && check() ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool refused(void)
{
    const tsmbr_upstream *u = tsmbr_system_upstream();
    size_t before = mapped_bytes();
    errno = 0;
    return ask(u, 4 * HUGE_PAGE, 16) == NULL && errno == ENOMEM && mapped_bytes() == before;
}

/* Room for the memory, not for a choice of where it lies. */
static bool served_at_any_page(void)
{
    const tsmbr_upstream *u = tsmbr_system_upstream();
    size_t odd = HUGE_PAGE + 3 * page();
    size_t before = mapped_bytes();
    errno = 0;
    unsigned char *p = ask(u, odd, 16);
    unsigned char *q = ask(u, odd, 16); /* beside the first: at least one has no huge page's place */
    if (p == NULL || q == NULL || errno != 0 || (aligned(p, HUGE_PAGE) && aligned(q, HUGE_PAGE)))
        return false;
    memset(p, 1, odd);
    memset(q, 1, odd);
    give(u, p, odd, 16);
    give(u, q, odd, 16);
    return mapped_bytes() == before;
}

static void without_address_space_it_refuses_and_keeps_nothing(void **state)
{
    (void)state;
    skip_if_emulated();
    if (WATCHED)
        skip(); /* sanitizers want address space of their own */
    in_little_space(3 * HUGE_PAGE, refused);
    in_little_space(2 * HUGE_PAGE + 7 * page(), served_at_any_page);
}

static void the_impossible_is_refused(void **state)
{
    (void)state;
    const tsmbr_upstream *u = tsmbr_system_upstream();
    size_t before = mapped_bytes();
    volatile size_t bytes = PTRDIFF_MAX; /* a compiler would warn */
    if (sizeof(size_t) > 4) {            /* else a 64-bit kernel may have 2 GiB for a program of 4 */
        assert_null(ask(u, bytes, 16));
        assert_null(ask(u, bytes - 5000, HUGE_PAGE * 8));
        assert_null(ask(u, HUGE_PAGE, (size_t)1 << (sizeof(size_t) * 8 - 1)));
    }
    bytes = SIZE_MAX;
    assert_null(ask(u, bytes - 5, 16));
    if (!WATCHED) /* a sanitizer maps memory to report the sizes */
        assert_int_equal(mapped_bytes(), before);
}

/* A resource of that kind grows into mappings, and release gives each back. */
static void release_unmaps(void **state)
{
    (void)state;
    skip_if_emulated();
    tsmbr_resource r;
    tsmbr_config config = {.initial_size = HUGE_PAGE}; /* all chunks are mapped */
    assert_int_equal(tsmbr_init(&r, &config), 0);
    size_t before = mapped_bytes();
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 1000; k++)
            memset(tsmbr_allocate(&r, 50000, 8), k, 50000);
        tsmbr_statistics s;
        tsmbr_get_statistics(&r, &s);
        assert_true(mapped_bytes() - before >= s.reserved_bytes);
        tsmbr_release(&r);
        assert_true(mapped_bytes() - before <= (WATCHED ? HUGE_PAGE : 0)); /* a sanitizer's own */
    }
    tsmbr_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_memory_begins_where_a_huge_page_can),
        cmocka_unit_test(mappings_leave_nothing_behind),
        cmocka_unit_test(prefaulted_memory_is_there_already),
        cmocka_unit_test(an_old_kernel_prefaults_by_a_write_a_page),
        cmocka_unit_test(what_cannot_be_unmapped_gives_its_memory_back),
        cmocka_unit_test(without_address_space_it_refuses_and_keeps_nothing),
        cmocka_unit_test(the_impossible_is_refused),
        cmocka_unit_test(release_unmaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
