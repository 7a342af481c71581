/* threads.h - programs that run at the same time, each in a thread after another, on one resource or on two. */
#ifndef TSMBR_FUZZ_THREADS_H
#define TSMBR_FUZZ_THREADS_H

#include <pthread.h>

#include "operations.h"

enum { MEMBERS_MOST = 16, SHARED_MOST = 2 };

/* A program at work. It may end its thread and go on in another one, and hand its explicit lane on to another
 * member. */

typedef struct member {
    reader in;
    blocks mine;
    size_t cleanups_due[SHARED_MOST]; /* that it has registered */
    bool plain;                       /* allocates, and nothing else */
    bool leaves;                      /* its thread ends here */
    size_t threads;                   /* it has had */
    pthread_barrier_t *start;         /* NULL: it has begun */
} member;

/* All members at the same time, on the first `shared` resources, and `beside`(argument) with them, if it is not
 * NULL. Then, at rest, their blocks go to the model, which judges. */
void members_run(model *m, member *members, unsigned count, unsigned shared, void *(*beside)(void *),
                 void *argument);

/* Whether members are at work: for the one beside them. */
bool members_at_work(void);

#endif
