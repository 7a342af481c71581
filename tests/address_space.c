/* The end of the address space, RLIMIT_AS, or of memory that may be written to, RLIMIT_DATA, in a process of its
 * own: requests are refused, nothing else happens; what is held serves on, and release gives the space back.
 * The end of a control group's memory is another thing: the kernel refuses nothing there, it kills. A limit below
 * the group's makes refusals of it. */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE
#endif
#include "resource.h"

#include "sanitizers.h"
#include "support.h"

#include <stdio.h>

#if !defined(__linux__) || UNDER_ASAN || UNDER_TSAN
int main(void)
{
    puts("address_space: not Linux, or a sanitizer that has the address space for itself; nothing was tested");
    return 77; /* skipped */
}
#else

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, MOST = 40000, NO_WAY_IN = 3 };

/* What a limit counts, and how much of it there is. */
typedef struct space {
    int limit;
    const char *name;
    const char *line; /* of /proc/self/status */
} space;

static const space address_space = {RLIMIT_AS, "RLIMIT_AS", "VmSize:"};
static const space data_space = {RLIMIT_DATA, "RLIMIT_DATA", "VmData:"};

static size_t space_bytes(const space *s)
{
    size_t kilobytes = 0;
    char line[200];
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && kilobytes == 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, s->line, strlen(s->line)) == 0)
            kilobytes = strtoul(line + strlen(s->line), NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kilobytes * 1024;
}

static struct {
    tsmbr_resource r;
    block got[THREADS][MOST];
    size_t count[THREADS];
    atomic_size_t faults;
    atomic_size_t refusals;
    atomic_size_t bytes;
    pthread_barrier_t start;
    size_t largest;
} stage;

static void take_until_refused(size_t index)
{
    dice d = dice_make(1, index);
    size_t count = 0;
    for (size_t refusals = 0; refusals < 20 && count < MOST;) {
        size_t bytes = 1 + (dice_below(&d, 8) == 0 ? dice_size(&d, stage.largest) : dice_size(&d, 2000));
        errno = 0;
        block b = {tsmbr_allocate(&stage.r, bytes, dice_alignment(&d, 4096)), bytes, dice_roll(&d)};
        if (b.ptr == NULL) {
            stage.faults += errno != ENOMEM;
            stage.refusals++;
            refusals++;
            continue;
        }
        stage.bytes += bytes;
        pattern_write(&b);
        stage.got[index][count++] = b;
    }
    stage.count[index] = count;
}

static void *member(void *index)
{
    pthread_barrier_wait(&stage.start);
    take_until_refused(*(size_t *)index);
    return NULL;
}

/* Bytes in the chunk that has the most room. */
static size_t largest_room(void)
{
    const resource *r = resource_of_const(&stage.r);
    size_t most = 0;
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL; walk_on(&w)) {
        size_t room = w.c->capacity - next_load_relaxed(w.c);
        most = room > most ? room : most;
    }
    return most;
}

static const char *damage(void)
{
    if (stage.faults != 0)
        return "an error other than ENOMEM";
    if (stage.refusals == 0)
        return "nothing refused";
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 0; k < stage.count[i]; k++)
            if (!pattern_intact(&stage.got[i][k]))
                return "blocks that overlap";
    return NULL;
}

/* What is wrong in the child; NULL: nothing. */
static const char *child_finds(const space *of, size_t room, size_t threads)
{
    /* Threads first: their stacks are address space, too. */
    pthread_t ids[THREADS];
    size_t indices[THREADS];
    pthread_barrier_init(&stage.start, NULL, (unsigned)threads);
    for (size_t i = 1; i < threads; i++) {
        indices[i] = i;
        if (pthread_create(&ids[i], NULL, member, &indices[i]) != 0)
            return "no thread";
    }
    size_t before = space_bytes(of);
    struct rlimit most = {before + room, RLIM_INFINITY};
    if (before == 0 || setrlimit(of->limit, &most) != 0)
        return "no way to limit the space";
    pthread_barrier_wait(&stage.start);
    take_until_refused(0);
    for (size_t i = 1; i < threads; i++)
        if (pthread_join(ids[i], NULL) != 0)
            return "no end of a thread";
    const char *wrong = damage();
    if (wrong != NULL)
        return wrong;
    size_t served = stage.bytes;
    if (served < room / 4)
        return "refusals too early";
    /* What is held is served to the last byte, even now. */
    for (size_t left = largest_room(); left != 0; left = largest_room())
        if (tsmbr_allocate(&stage.r, left, 1) == NULL)
            return "a refusal though a chunk had room";
    tsmbr_release(&stage.r);
    tsmbr_statistics s;
    tsmbr_get_statistics(&stage.r, &s);
    if (s.reserved_bytes != 0 || s.chunks != 0)
        return "chunks not given back";
    /* Small chunks are malloc's, which keeps what it likes, and more with threads: where one thread has most in
     * mappings the space is seen to go. */
    size_t after = space_bytes(of);
    if (threads == 1 && stage.largest > 2 << 20 && after > before && after - before > room / 4)
        return "space not given back";
    stage.bytes = 0;
    memset(stage.count, 0, sizeof stage.count); /* their blocks have ended */
    take_until_refused(0);
    if (stage.bytes < served / 4)
        return "less served after release";
    wrong = damage();
    tsmbr_destroy(&stage.r);
    return wrong;
}

static void in_little_space(const space *of, size_t room, size_t threads, const tsmbr_upstream *upstream,
                            size_t largest)
{
    memset(&stage.r, 0, sizeof stage.r);
    tsmbr_init(&stage.r, &(tsmbr_config){.upstream = upstream});
    stage.largest = largest;
    (void)fflush(stdout);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        const char *wrong = child_finds(of, room, threads);
        if (wrong != NULL)
            fprintf(stderr, "%s of %zu bytes more, %zu threads: %s\n", of->name, room, threads, wrong);
        _exit(wrong != NULL);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void one_thread_at_the_end(void **state)
{
    (void)state;
    in_little_space(&address_space, (size_t)8 << 20, 1, NULL, 100000);
    in_little_space(&address_space, (size_t)40 << 20, 1, NULL, 3 << 20);
    in_little_space(&address_space, (size_t)8 << 20, 1, tsmbr_malloc_upstream(), 100000);
    in_little_space(&address_space, (size_t)24 << 20, 1, tsmbr_prefault_upstream(), 1 << 20);
}

static void threads_at_the_end(void **state)
{
    (void)state;
    in_little_space(&address_space, (size_t)16 << 20, THREADS, NULL, 100000);
    in_little_space(&address_space, (size_t)64 << 20, THREADS, NULL, 3 << 20);
    in_little_space(&address_space, (size_t)32 << 20, THREADS, tsmbr_malloc_upstream(), 1 << 20);
}

static void where_data_ends(void **state)
{
    (void)state;
    in_little_space(&data_space, (size_t)8 << 20, 1, NULL, 100000);
    in_little_space(&data_space, (size_t)40 << 20, 1, NULL, 3 << 20);
    in_little_space(&data_space, (size_t)8 << 20, 1, tsmbr_malloc_upstream(), 100000);
    in_little_space(&data_space, (size_t)24 << 20, 1, tsmbr_prefault_upstream(), 1 << 20);
    in_little_space(&data_space, (size_t)64 << 20, THREADS, NULL, 3 << 20);
    in_little_space(&data_space, (size_t)32 << 20, THREADS, tsmbr_malloc_upstream(), 1 << 20);
}

/* ----------------------------------------------------------------------------- control groups -- */

static bool write_line(const char *directory, const char *name, const char *line)
{
    char path[600];
    FILE *f = snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path ? fopen(path, "w") : NULL;
    if (f == NULL)
        return false;
    bool written = fputs(line, f) >= 0;
    return fclose(f) == 0 && written;
}

/* The directory below which this process may make groups with a limit of memory: TSMBR_CGROUP, else its own group.
 */
static bool group_of_own(char *own, size_t room)
{
    const char *given = getenv("TSMBR_CGROUP");
    if (given != NULL)
        return snprintf(own, room, "%s", given) < (int)room;
    /* Lines of hierarchy:controllers:path. Version 1 has a hierarchy for memory; version 2 has one for all, "0::".
     */
    bool found = false;
    char line[300];
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = 0;
        const char *path = strchr(line, '/');
        bool version_1 = strstr(line, ":memory:") != NULL;
        if (path != NULL && (version_1 || strncmp(line, "0::", 3) == 0))
            found = snprintf(own, room, "/sys/fs/cgroup%s%s", version_1 ? "/memory" : "", path) < (int)room;
    }
    if (f != NULL)
        (void)fclose(f);
    return found;
}

/* A new control group with so much memory and no swap. False if it cannot be had: not root and nothing delegated,
 * or no memory controller for groups below. */
static bool group_make(char *group, size_t room, size_t bytes)
{
    char own[300];
    if (!group_of_own(own, sizeof own) ||
        snprintf(group, room, "%s/tsmbr-test-%ld", own, (long)getpid()) >= (int)room || mkdir(group, 0755) != 0)
        return false;
    char most[30];
    (void)snprintf(most, sizeof most, "%zu", bytes);
    if (write_line(group, "memory.limit_in_bytes", most)) {
        (void)write_line(group, "memory.memsw.limit_in_bytes", most);
        return true;
    }
    if (write_line(group, "memory.max", most)) {
        (void)write_line(group, "memory.swap.max", "0");
        return true;
    }
    (void)rmdir(group);
    return false;
}

static void group_member(void *argument, size_t index)
{
    (void)argument;
    take_until_refused(index);
}

/* What is wrong in the child; NULL: nothing. */
static const char *child_finds_in_group(size_t limit)
{
    memset(&stage.r, 0, sizeof stage.r);
    tsmbr_init(&stage.r, &(tsmbr_config){.limit = limit});
    stage.largest = 3 << 20;
    for (int life = 0; life < 3; life++) {
        stage.bytes = stage.refusals = 0;
        run_threads(THREADS, group_member, NULL); /* writes every byte */
        const char *wrong = damage();
        if (wrong != NULL)
            return wrong;
        if (stage.bytes < limit / 4 * 3)
            return "refusals too early";
        tsmbr_release(&stage.r);
    }
    tsmbr_destroy(&stage.r);
    return NULL;
}

/* How a process ends that takes what it gets in a group of so much memory; -1: there is no such group. */
static int status_in_group(size_t bytes, size_t limit)
{
    char group[400];
    if (!group_make(group, sizeof group, bytes))
        return -1;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!write_line(group, "cgroup.procs", "0"))
            _exit(NO_WAY_IN);
        const char *wrong = child_finds_in_group(limit);
        if (wrong != NULL)
            fprintf(stderr, "limit %zu in a group of %zu: %s\n", limit, bytes, wrong);
        _exit(wrong != NULL);
    }
    int status = -1;
    pid_t ended = child == -1 ? -1 : waitpid(child, &status, 0);
    (void)rmdir(group);
    assert_int_not_equal(child, -1);
    assert_int_equal(ended, child);
    return WIFEXITED(status) && WEXITSTATUS(status) == NO_WAY_IN ? -1 : status;
}

static void a_limit_keeps_it_inside_its_control_group(void **state)
{
    (void)state;
    const size_t group = (size_t)96 << 20;
    int status = status_in_group(group, group / 4 * 3);
    if (status == -1) {
        puts("a_limit_keeps_it_inside_its_control_group: no group may be made below this process's own;\n"
             "TSMBR_CGROUP=DIRECTORY names one where they may");
        skip();
    }
    assert_int_equal(status, 0);
    /* The control: that the group has an end at all. */
    status = status_in_group(group, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
    if (emulator() != NULL) {
        puts("address_space: qemu-user needs address space of its own; nothing was tested");
        return 77; /* skipped */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_the_end),
        cmocka_unit_test(threads_at_the_end),
        cmocka_unit_test(where_data_ends),
        cmocka_unit_test(a_limit_keeps_it_inside_its_control_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
