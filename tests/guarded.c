/* The guarded upstream: its pages cannot be overrun, its places are not to be foreseen, all of it goes back. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* syscall */
#endif
#include "sanitizers.h"
#include "support.h"

#if defined(_WIN32)
#include <errno.h>
#include <string.h>

/* There it is malloc: what is left to hold is what any upstream must. */
static void every_size_and_alignment_is_served(void **state)
{
    (void)state;
    const tsmbr_upstream *u = tsmbr_guarded_upstream();
    for (size_t alignment = 1; alignment <= (size_t)1 << 22; alignment *= 2)
        for (size_t bytes = 1; bytes <= (size_t)1 << 20; bytes = bytes * 9 + 1) {
            void *p = u->allocate(u->context, bytes, alignment);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p & (alignment - 1), 0);
            memset(p, 1, bytes);
            u->deallocate(u->context, p, bytes, alignment);
        }
    u->deallocate(u->context, NULL, 100, 16);
}

static void the_impossible_is_refused(void **state)
{
    (void)state;
    const tsmbr_upstream *u = tsmbr_guarded_upstream();
    errno = 0;
    assert_null(u->allocate(u->context, SIZE_MAX, 16));
    assert_int_equal(errno, ENOMEM);
    assert_null(u->allocate(u->context, PTRDIFF_MAX, 16));
}

static void a_resource_over_it_serves(void **state)
{
    (void)state;
    tsmbr_resource r;
    assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = tsmbr_guarded_upstream()}), 0);
    for (size_t i = 1; i < 5000; i++) {
        void *p = tsmbr_allocate(&r, i, 8);
        assert_non_null(p);
        memset(p, 1, i);
    }
    tsmbr_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_and_alignment_is_served),
        cmocka_unit_test(the_impossible_is_refused),
        cmocka_unit_test(a_resource_over_it_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#elif !defined(__linux__)
#include <stdio.h>

int main(void)
{
    puts("guarded: how mappings are counted is known for Linux only; nothing was tested");
    return 77; /* skipped */
}
#else

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHED (UNDER_ASAN || UNDER_TSAN)

/* In place of the C library's: what the system does, unless the test says that it refuses. */
static bool random_is_missing;
static bool protection_is_refused;

ssize_t getrandom(void *buffer, size_t bytes, unsigned flags)
{
    if (random_is_missing) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_getrandom, buffer, bytes, flags);
}

int mprotect(void *ptr, size_t bytes, int protection)
{
    if (protection_is_refused) {
        errno = EACCES;
        return -1;
    }
    return (int)syscall(SYS_mprotect, ptr, bytes, protection);
}

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned char *ask(size_t bytes, size_t alignment)
{
    const tsmbr_upstream *u = tsmbr_guarded_upstream();
    return u->allocate(u->context, bytes, alignment);
}

static void give(void *ptr, size_t bytes, size_t alignment)
{
    const tsmbr_upstream *u = tsmbr_guarded_upstream();
    u->deallocate(u->context, ptr, bytes, alignment);
}

static size_t offset_of(const void *ptr)
{
    return (uintptr_t)ptr & (page() - 1);
}

/* The first byte behind the last page of memory that begins at ptr. */
static unsigned char *end_of(unsigned char *ptr, size_t bytes)
{
    size_t used = offset_of(ptr) + (bytes != 0 ? bytes : 1);
    return ptr - offset_of(ptr) + (used + page() - 1) / page() * page();
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

/* ----------------------------------------------------------------------------------- guards -- */

/* How a child that writes to that byte ends: 0 well, else by that signal. A sanitizer would report the signal
 * in its own way. */
static int end_of_child_that_writes(volatile unsigned char *byte)
{
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        *byte = 1;
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void beyond_its_pages_a_write_is_the_last(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 100, page() - 1, page(), page() + 1, 5 * page(), (size_t)3 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *p = ask(sizes[i], 16);
        assert_non_null(p);
        unsigned char *end = end_of(p, sizes[i]);
        assert_int_equal(end_of_child_that_writes(p - offset_of(p)), 0);
        assert_int_equal(end_of_child_that_writes(p - offset_of(p) - 1), SIGSEGV);
        assert_int_equal(end_of_child_that_writes(p - offset_of(p) - page()), SIGSEGV);
        assert_int_equal(end_of_child_that_writes(end - 1), 0);
        assert_int_equal(end_of_child_that_writes(end), SIGSEGV);
        assert_int_equal(end_of_child_that_writes(end + page() - 1), SIGSEGV);
        give(p, sizes[i], 16);
        if (!WATCHED) /* a sanitizer may map memory of its own where this was */
            assert_int_equal(end_of_child_that_writes(p), SIGSEGV);
    }
}

static void a_block_of_a_resource_cannot_reach_beyond(void **state)
{
    (void)state;
    tsmbr_resource r;
    assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = tsmbr_guarded_upstream()}), 0);
    for (size_t bytes = 100; bytes < 1000000; bytes *= 7) {
        unsigned char *p = tsmbr_allocate(&r, bytes, 1);
        assert_non_null(p);
        memset(p, 1, bytes);
        tsmbr_statistics s;
        tsmbr_get_statistics(&r, &s);
        /* However far from the ends it lies: a run of writes meets one after what is held, at most. */
        int over = 0;
        int under = 0;
        for (size_t step = 1; over == 0 && step <= s.reserved_bytes / page() + 2; step++)
            over = end_of_child_that_writes(p + bytes + step * page());
        for (size_t step = 1; under == 0 && step <= s.reserved_bytes / page() + 2; step++)
            under = end_of_child_that_writes(p - step * page());
        assert_int_equal(over, SIGSEGV);
        assert_int_equal(under, SIGSEGV);
    }
    unsigned char *p = tsmbr_allocate(&r, 10, 1);
    tsmbr_release(&r);
    if (!WATCHED)
        assert_int_equal(end_of_child_that_writes(p), SIGSEGV); /* used after release */
    tsmbr_destroy(&r);
}

/* ----------------------------------------------------------------------------------- places -- */

enum { PLACES = 64 };

/* How many different places in their first page so many chunks have. */
static size_t places_of_chunks(size_t alignment)
{
    size_t offsets[PLACES];
    size_t different = 0;
    for (size_t i = 0; i < PLACES; i++) {
        unsigned char *p = ask(1000, alignment);
        assert_non_null(p);
        offsets[i] = offset_of(p);
        give(p, 1000, alignment);
        size_t same = 0;
        for (size_t k = 0; k < i; k++)
            same += offsets[k] == offsets[i];
        different += same == 0;
    }
    return different;
}

/* Of 64 chunks in 256 places, some 57 places are met: fewer than 16 are one chance in more than 10^70. */
static void places_differ_from_chunk_to_chunk(void **state)
{
    (void)state;
    assert_true(places_of_chunks(16) >= 16);
    assert_true(places_of_chunks(1) >= 16);
    assert_int_equal(places_of_chunks(page()), 1);
    assert_int_equal(places_of_chunks(page() / 2), 2);
}

static void places_differ_without_random_numbers(void **state)
{
    (void)state;
    random_is_missing = true;
    errno = 0;
    assert_true(places_of_chunks(16) >= 2); /* the clock goes on */
    assert_int_equal(errno, 0);
    random_is_missing = false;
}

static const char say_place[] = "--say-the-place-of-the-first-chunk";

static int say_the_place(void)
{
    tsmbr_resource r;
    if (tsmbr_init(&r, &(tsmbr_config){.upstream = tsmbr_guarded_upstream()}) != 0)
        return 1;
    printf("%zu\n", offset_of(tsmbr_allocate(&r, 1, 1)));
    tsmbr_destroy(&r);
    return 0;
}

static void places_differ_from_run_to_run(void **state)
{
    (void)state;
    char command[600];
    char self[500];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    (void)snprintf(command, sizeof command, "'%s' %s", self, say_place);
    size_t first = 0;
    size_t different = 0;
    for (int run = 0; run < 12; run++) {
        FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c): a program that the test has written */
        size_t place = 0;
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%zu", &place), 1);
        assert_int_equal(pclose(f), 0);
        assert_int_equal(place % 16, 0);
        assert_true(place < page());
        if (run == 0)
            first = place;
        different += place != first;
    }
    assert_true(different > 0); /* all alike: one chance in 256^11 */
}

/* --------------------------------------------------------------------------- what is granted -- */

static void every_size_and_alignment_is_served(void **state)
{
    (void)state;
    size_t before = mapped_bytes();
    for (size_t alignment = 1; alignment <= (size_t)1 << 30; alignment *= 2)
        for (size_t bytes = 0; bytes <= (size_t)1 << 20; bytes = bytes * 9 + 1) {
            errno = 0;
            unsigned char *p = ask(bytes, alignment);
            assert_non_null(p);
            assert_int_equal(errno, 0);
            assert_int_equal((uintptr_t)p & (alignment - 1), 0);
            memset(p, 1, bytes);
            give(p, bytes, alignment);
        }
    unsigned char *p = ask((size_t)256 << 20, 16);
    assert_non_null(p);
    p[0] = 1;
    p[((size_t)256 << 20) - 1] = 1;
    give(p, (size_t)256 << 20, 16);
    give(NULL, 100, 16);
    if (!WATCHED)
        assert_int_equal(mapped_bytes(), before);
}

static void only_what_is_needed_is_mapped(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    unsigned char *held[COUNT];
    size_t before = mapped_bytes();
    size_t expected = 0;
    for (size_t i = 0; i < COUNT; i++) {
        held[i] = ask(1000 * i, 4 * page());
        assert_non_null(held[i]);
        expected += (size_t)(end_of(held[i], 1000 * i) - held[i]) + 2 * page();
    }
    if (!WATCHED)
        assert_int_equal(mapped_bytes() - before, expected);
    for (size_t i = 0; i < COUNT; i++)
        give(held[i], 1000 * i, 4 * page());
    if (!WATCHED)
        assert_int_equal(mapped_bytes(), before);
}

static void the_impossible_is_refused(void **state)
{
    (void)state;
    size_t before = mapped_bytes();
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4 * page(), (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX,
                            PTRDIFF_MAX - 4 * page() + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        errno = 0;
        assert_null(ask(sizes[i], 16));
        assert_int_equal(errno, ENOMEM);
    }
    if (sizeof(size_t) > 4) { /* else a 64-bit kernel has room for it */
        errno = 0;
        assert_null(ask(1, (size_t)1 << (sizeof(size_t) * 8 - 1)));
        assert_int_equal(errno, ENOMEM);
    }
    assert_null(ask((size_t)PTRDIFF_MAX - 4 * page(), (size_t)1 << (sizeof(size_t) * 8 - 2)));
    if (!WATCHED)
        assert_int_equal(mapped_bytes(), before);
}

/* ---------------------------------------------------------------------------------- failure -- */

/* Whether the check holds in a process of its own, whose address space may grow by so many bytes. */
static bool holds_in_little_space(size_t bytes, bool (*check)(void))
{
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        struct rlimit most = {mapped_bytes() + bytes, RLIM_INFINITY};
        _exit(setrlimit(RLIMIT_AS, &most) == 0 && check() ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

static bool refused_and_nothing_kept(void)
{
    size_t before = mapped_bytes();
    errno = 0;
    if (ask((size_t)1 << 20, 16) != NULL || errno != ENOMEM)
        return false;
    tsmbr_resource r;
    (void)tsmbr_init(&r, &(tsmbr_config){.upstream = tsmbr_guarded_upstream()});
    errno = 0;
    bool refused = tsmbr_allocate(&r, (size_t)1 << 20, 1) == NULL && errno == ENOMEM;
    tsmbr_destroy(&r);
    return refused && mapped_bytes() == before;
}

static void without_address_space_it_refuses_and_keeps_nothing(void **state)
{
    (void)state;
    if (WATCHED)
        skip(); /* sanitizers want address space of their own */
    assert_true(holds_in_little_space((size_t)1 << 19, refused_and_nothing_kept));
}

/* The address space is there, memory to write to is not. */
static void without_memory_it_refuses_and_keeps_nothing(void **state)
{
    (void)state;
    protection_is_refused = true;
    bool held = refused_and_nothing_kept();
    protection_is_refused = false;
    assert_true(held);
}

/* Linux then says EAGAIN. Whoever has the privilege to lock any amount gives it up first. */
static void where_all_pages_are_locked_it_refuses(void **state)
{
    (void)state;
    enum { HELD, BROKEN, IMPOSSIBLE };
    if (WATCHED || UNDER_MSAN)
        skip(); /* sanitizers keep mlockall from the system */
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        struct rlimit most = {(rlim_t)1 << 16, (rlim_t)1 << 16};
        if (setrlimit(RLIMIT_MEMLOCK, &most) != 0 || (geteuid() == 0 && setuid(65534) != 0) ||
            mlockall(MCL_FUTURE) != 0)
            _exit(IMPOSSIBLE);
        errno = 0;
        void *probe = mmap(NULL, (size_t)1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (probe != MAP_FAILED || errno != EAGAIN)
            _exit(IMPOSSIBLE);
        errno = 0;
        _exit(ask((size_t)1 << 20, 16) == NULL && errno == ENOMEM ? HELD : BROKEN);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == IMPOSSIBLE) {
        printf("here a process cannot lock its pages up to a limit\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), HELD);
}

/* ------------------------------------------------------------------------------- in company -- */

/* Counts what goes to the guarded upstream and comes back. */
typedef struct ledger {
    pthread_mutex_t mutex;
    size_t held;
    size_t peak;
    size_t live;
} ledger;

static void *ledger_allocate(void *context, size_t bytes, size_t alignment)
{
    ledger *l = context;
    void *ptr = ask(bytes, alignment);
    pthread_mutex_lock(&l->mutex);
    if (ptr != NULL) {
        l->held += bytes;
        l->live++;
        l->peak = l->held > l->peak ? l->held : l->peak;
    }
    pthread_mutex_unlock(&l->mutex);
    return ptr;
}

static void ledger_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    ledger *l = context;
    pthread_mutex_lock(&l->mutex);
    l->held -= bytes;
    l->live--;
    pthread_mutex_unlock(&l->mutex);
    give(ptr, bytes, alignment);
}

enum { THREADS = 4 };

typedef struct company {
    tsmbr_resource r;
    blocks b[THREADS];
    size_t rounds;
    uint64_t seed;
} company;

static void company_member(void *argument, size_t index)
{
    company *c = argument;
    dice d = dice_make(c->seed, index);
    for (size_t i = 0; i < c->rounds; i++) {
        size_t bytes = dice_size(&d, 20000);
        void *p = tsmbr_allocate(&c->r, bytes, dice_alignment(&d, 256));
        if (p != NULL)
            blocks_add(&c->b[index], p, bytes, dice_roll(&d));
    }
}

/* The figures are of bytes asked for, as over any upstream: pages and guards do not count. */
static void statistics_and_limit_are_of_bytes_asked_for(void **state)
{
    (void)state;
    const size_t limits[] = {0, 100000, 1000000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        ledger l = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
        const tsmbr_upstream counted = {ledger_allocate, ledger_deallocate, &l};
        static company c;
        c = (company){.rounds = rounds_for(400), .seed = run_seed()};
        assert_int_equal(tsmbr_init(&c.r, &(tsmbr_config){.upstream = &counted, .limit = limits[i]}), 0);
        size_t before = mapped_bytes();
        run_threads(THREADS, company_member, &c);
        blocks all = {0};
        for (size_t k = 0; k < THREADS; k++) {
            blocks_append(&all, &c.b[k]);
            blocks_free(&c.b[k]);
        }
        tsmbr_statistics s;
        tsmbr_get_statistics(&c.r, &s);
        assert_int_equal(s.reserved_bytes, l.held);
        assert_int_equal(s.chunks, l.live);
        assert_true(limits[i] == 0 || (l.peak <= limits[i] && s.peak_reserved_bytes <= limits[i]));
        assert_true(mapped_bytes() - before >= s.reserved_bytes + 2 * page() * s.chunks);
        assert_int_equal(blocks_check(&all), 0);
        blocks_free(&all);
        tsmbr_destroy(&c.r);
        assert_int_equal(l.held, 0);
        assert_int_equal(l.live, 0);
    }
}

int main(int count, char **arguments)
{
    if (emulator() != NULL) {
        puts("guarded: what qemu-user shows of mappings is its own; nothing was tested");
        return 77; /* skipped */
    }
    if (count == 2 && strcmp(arguments[1], say_place) == 0)
        return say_the_place();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beyond_its_pages_a_write_is_the_last),
        cmocka_unit_test(a_block_of_a_resource_cannot_reach_beyond),
        cmocka_unit_test(places_differ_from_chunk_to_chunk),
        cmocka_unit_test(places_differ_without_random_numbers),
        cmocka_unit_test(places_differ_from_run_to_run),
        cmocka_unit_test(every_size_and_alignment_is_served),
        cmocka_unit_test(only_what_is_needed_is_mapped),
        cmocka_unit_test(the_impossible_is_refused),
        cmocka_unit_test(without_address_space_it_refuses_and_keeps_nothing),
        cmocka_unit_test(without_memory_it_refuses_and_keeps_nothing),
        cmocka_unit_test(where_all_pages_are_locked_it_refuses),
        cmocka_unit_test(statistics_and_limit_are_of_bytes_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
