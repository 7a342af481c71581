/* progress.h - one line on the terminal while threads build; nothing if stderr is not a terminal. */
#ifndef WORD_INDEX_PROGRESS_H
#define WORD_INDEX_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "build.h"

typedef struct progress {
    build *watched;
    const char *label;
    uint64_t started_ns;
    bool running;
    bool stop; /* guarded by mutex, told by wake */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
} progress;

/* Start drawing. A bar that cannot be had is not worth an error: there is none then. */
void progress_start(progress *bar, build *watched, const char *label);

/* Stop drawing, and clear the line. */
void progress_stop(progress *bar);

/* Nanoseconds of a clock that only moves forward. */
uint64_t clock_ns(void);

#endif
