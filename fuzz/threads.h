/* threads.h - programs that run at the same time, each in a thread, on one resource. */
#ifndef TSMBR_FUZZ_THREADS_H
#define TSMBR_FUZZ_THREADS_H

#include <pthread.h>

#include "operations.h"

enum { MEMBERS_MOST = 16 };

typedef struct member {
    reader in;
    blocks mine;
    size_t cleanups_due; /* that this thread has registered */
    size_t calls;        /* made */
    bool plain;          /* allocates, and nothing else */
    pthread_barrier_t *start;
} member;

/* All members at the same time, and `beside`(argument) with them, if it is not NULL. Then, at rest, their blocks
 * go to the model, which judges. */
void members_run(model *m, member *members, unsigned count, void *(*beside)(void *), void *argument);

/* Whether members are at work: for the one beside them. */
bool members_at_work(void);

#endif
