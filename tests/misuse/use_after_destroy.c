/* A call on a resource that was destroyed, of every function that has a resource: each in a process of its own,
 * whose line must name the function that the program called. Then one more.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): the resource was destroyed; call tsmbr_init before it is
 * used again
 */
#include "misuse.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

static tsmbr_wrapped wrapped;
static tsmbr_resource *const r = &wrapped.resource;
static tsmbr_lane lane;
static void *block; /* of before */

static void *refuse(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
    (void)alignment;
    return NULL;
}

static void clean_up(void *argument)
{
    (void)argument;
}

static char *vprint(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = tsmbr_vprintf(r, format, arguments);
    va_end(arguments);
    return text;
}

/* The function, and a call of it. */
#define CALLS(_)                                                                                                  \
    _(tsmbr_allocate, (void)!tsmbr_allocate(r, 8, 8))                                                             \
    _(tsmbr_allocate_array, (void)!tsmbr_allocate_array(r, 2, 8, 8))                                              \
    _(tsmbr_allocate_from, (void)!tsmbr_allocate_from(r, 8, 8, NULL))                                             \
    _(tsmbr_allocate_or_call, (void)!tsmbr_allocate_or_call(&wrapped, 8, 8))                                      \
    _(tsmbr_calloc, (void)!tsmbr_calloc(r, 2, 8))                                                                 \
    _(tsmbr_deallocate, tsmbr_deallocate(r, block, 8, 8))                                                         \
    _(tsmbr_destroy, tsmbr_destroy(r))                                                                            \
    _(tsmbr_get_statistics, tsmbr_statistics s; tsmbr_get_statistics(r, &s))                                      \
    _(tsmbr_lane_allocate, (void)!tsmbr_lane_allocate(&lane, 8, 8))                                               \
    _(tsmbr_lane_close, tsmbr_lane_close(&lane))                                                                  \
    _(tsmbr_lane_open, tsmbr_lane other; tsmbr_lane_open(&other, r))                                              \
    _(tsmbr_lane_try_allocate, (void)!tsmbr_lane_try_allocate(&lane, 8, 8))                                       \
    _(tsmbr_memdup, (void)!tsmbr_memdup(r, "text", 5))                                                            \
    _(tsmbr_on_release, (void)!tsmbr_on_release(r, clean_up, NULL))                                               \
    _(tsmbr_owns, (void)!tsmbr_owns(r, block))                                                                    \
    _(tsmbr_printf, (void)!tsmbr_printf(r, "%d", 1))                                                              \
    _(tsmbr_reallocate, (void)!tsmbr_reallocate(r, block, 8, 16, 8))                                              \
    _(tsmbr_release, tsmbr_release(r))                                                                            \
    _(tsmbr_reserve, (void)!tsmbr_reserve(r, 100))                                                                \
    _(tsmbr_reset, tsmbr_reset(r, 0))                                                                             \
    _(tsmbr_strdup, (void)!tsmbr_strdup(r, "text"))                                                               \
    _(tsmbr_strndup, (void)!tsmbr_strndup(r, "text", 2))                                                          \
    _(tsmbr_try_allocate, (void)!tsmbr_try_allocate(r, 8, 8))                                                     \
    _(tsmbr_try_resize, (void)!tsmbr_try_resize(r, block, 8, 4))                                                  \
    _(tsmbr_upstream_resource, (void)!tsmbr_upstream_resource(r))                                                 \
    _(tsmbr_vprintf, (void)!vprint("%d", 1))

#define FUNCTION(name, ...)                                                                                       \
    static void call_##name(void)                                                                                 \
    {                                                                                                             \
        __VA_ARGS__;                                                                                              \
    }
CALLS(FUNCTION)

#define ENTRY(name, ...) {#name, call_##name},
static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {CALLS(ENTRY)};

static void begin(void)
{
    tsmbr_lane_open(&lane, r);
    block = must(tsmbr_allocate(r, 8, 8));
}

static void destroy(void)
{
    tsmbr_destroy(r);
#ifdef RIGHT
    tsmbr_init(r, NULL);
    begin();
#endif
}

/* What a process of its own says to stderr, and how it ends. */
static int said_of(void (*call)(void), char *said, size_t most)
{
    int ends[2], status = 0;
    if (pipe(ends) != 0)
        exit(3);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        begin();
        destroy();
        call();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n = 1; n > 0 && length<most - 1; length += n> 0 ? (size_t)n : 0)
        n = read(ends[0], said + length, most - 1 - length);
    said[length] = '\0';
    close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        exit(3);
    return status;
}

int main(void)
{
    wrapped.otherwise = refuse;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char said[1000], wanted[200];
        int status = said_of(calls[i].call, said, sizeof said);
        snprintf(wanted, sizeof wanted,
                 "tsmbr: %s(%p): the resource was destroyed; call tsmbr_init before it is used again\n",
                 calls[i].name, (void *)r);
#ifdef RIGHT
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || said[0] != '\0')
#else
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || strcmp(said, wanted) != 0)
#endif
            printf("%s: status %d, and it says: %s\n", calls[i].name, status, said), exit(4);
    }
    begin();
    destroy();
    must(tsmbr_allocate(r, 8, 8));
    tsmbr_destroy(r);
}
