/* compare.c - forked runs, whose results come back through a pipe. */
#include "compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

static bool write_all(int fd, const void *data, size_t bytes)
{
    for (const char *at = data; bytes != 0;) {
        ssize_t done = write(fd, at, bytes);
        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            at += done;
            bytes -= (size_t)done;
        }
    }
    return true;
}

static bool read_all(int fd, void *data, size_t bytes)
{
    for (char *at = data; bytes != 0;) {
        ssize_t done = read(fd, at, bytes);
        if (done == 0 || (done < 0 && errno != EINTR))
            return false;
        if (done > 0) {
            at += done;
            bytes -= (size_t)done;
        }
    }
    return true;
}

/* One process to start. */
typedef struct task {
    input *in;
    const options *o;
    const allocator_type *type; /* NULL: only read the files */
    size_t limit;
    size_t top; /* 0: no survey */
    const char *label;
} task;

/* In the child. */
static void task_do(const task *t, run *out)
{
    if (t->type == NULL) {
        build_result read = build_run(t->in, NULL, t->o->threads, t->label);
        *out = (run){.status = read.status};
        return;
    }
    session s;
    session_build(&s, out, t->in, t->type, t->limit, t->o->threads, t->top, t->label);
    session_end(&s, out);
}

static bool failed(const char *what)
{
    (void)fprintf(stderr, "word_index: cannot %s: %s\n", what, strerror(errno));
    return false;
}

/* Fork a process for the task. Returns where to read its run, or -1. */
static int task_start(const task *t, run *out, pid_t *child)
{
    int ends[2];
    if (pipe(ends) != 0) {
        (void)failed("make a pipe");
        return -1;
    }
    (void)fflush(NULL); /* or the child would write it again */
    *child = fork();
    if (*child == 0) {
        (void)close(ends[0]);
        task_do(t, out);
        exit(write_all(ends[1], out, sizeof *out) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    (void)close(ends[1]);
    if (*child > 0)
        return ends[0];
    (void)failed("start a process");
    (void)close(ends[0]);
    return -1;
}

static bool task_run(const task *t, run *out)
{
    pid_t child = -1;
    int from = task_start(t, out, &child);
    if (from < 0)
        return false;
    bool told = read_all(from, out, sizeof *out);
    (void)close(from);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return failed("wait for a process");
    if (told && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return run_ok(out, t->type != NULL ? t->type->name : t->label, t->limit);
    (void)fprintf(stderr, "word_index: the process for %s %s %d\n", t->label,
                  WIFSIGNALED(status) ? "was ended by signal" : "failed with status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

/* ---------------------------------------------------------------------------------------- rounds -- */

/* The best times count. What was built must be the same: a block more or less is another index. */
static void merge(run *best, const run *fresh)
{
    if (fresh->build_ns < best->build_ns)
        best->build_ns = fresh->build_ns;
    if (fresh->teardown_ns < best->teardown_ns)
        best->teardown_ns = fresh->teardown_ns;
    if (fresh->count.blocks != best->count.blocks || fresh->count.bytes != best->count.bytes)
        best->differed = true;
}

/* One run with each allocator, each time starting with another one. Only the first round looks into
 * the index it built. */
static bool round_run(run runs[ALLOCATOR_TYPES], input *in, const options *o, size_t round)
{
    static run fresh;
    for (size_t k = 0; k < ALLOCATOR_TYPES; k++) {
        size_t i = (round + k) % ALLOCATOR_TYPES;
        const allocator_type *type = allocator_types[i];
        char label[64];
        (void)snprintf(label, sizeof label, "%s %zu/%zu", type->name, round + 1, o->rounds);
        task t = {in, o, type, strcmp(type->name, "tsmbr") == 0 ? o->limit : 0, round == 0 ? o->top : 0, label};
        if (!task_run(&t, round == 0 ? &runs[i] : &fresh))
            return false;
        if (round != 0)
            merge(&runs[i], &fresh);
    }
    return true;
}

bool compare_allocators(run runs[ALLOCATOR_TYPES], input *in, const options *o)
{
    if (!task_run(&(task){.in = in, .o = o, .label = "warm-up"}, &runs[0]))
        return false;
    for (size_t round = 0; round < o->rounds; round++)
        if (!round_run(runs, in, o, round))
            return false;
    return true;
}
