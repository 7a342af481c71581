/* misuse.h - what the programs beside it share. Each makes one mistake, between #ifndef RIGHT and #endif; compiled
 * with RIGHT it makes none. Its first lines say which tool must report what:
 *
 *     expect TOOL: an extended regular expression, which goes on in the next lines; debug: of the whole line
 *
 * scripts/check-misuse builds and runs them. */
#ifndef MISUSE_H
#define MISUSE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsmbr.h>

/* Uses a byte so that no compiler leaves the access out. */
static inline int use(const volatile char *p)
{
    return *p;
}

/* What a tool is to find depends on it. */
static inline void branch_on(const volatile char *p)
{
    if (*p == 'x')
        puts("x");
}

static inline void *must(void *block)
{
    if (block == NULL)
        exit(3);
    return block;
}

static inline pthread_t start(void *run(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        exit(3);
    return thread;
}

/* An upstream in whose first call another thread runs: between two moments of one call of the library. */
typedef struct interlude {
    tsmbr_upstream upstream;
    void *(*play)(void *);
    void *argument;
    int played;
} interlude;

static inline void *interlude_allocate(void *context, size_t bytes, size_t alignment)
{
    interlude *i = context;
    if (i->played++ == 0)
        pthread_join(start(i->play, i->argument), NULL);
    return tsmbr_malloc_upstream()->allocate(NULL, bytes, alignment);
}

static inline void interlude_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    tsmbr_malloc_upstream()->deallocate(NULL, ptr, bytes, alignment);
}

static inline void interlude_open(interlude *i, void *play(void *), void *argument)
{
    interlude opened = {{interlude_allocate, interlude_deallocate, i}, play, argument, 0};
    *i = opened;
}

/* The same in a cleanup: in the middle of a release, a reset or a destroy. */
static inline void interlude_clean_up(void *argument)
{
    interlude *i = argument;
    pthread_join(start(i->play, i->argument), NULL);
}

static inline void interlude_in_cleanup(interlude *i, void *play(void *), tsmbr_resource *r)
{
    interlude_open(i, play, NULL);
    if (tsmbr_on_release(r, interlude_clean_up, i) != 0)
        exit(3);
}

#endif
