/* progress.c - a thread that wakes ten times a second, reads the counters, and draws a line. */
#include "progress.h"

#include <stdio.h>
#include <time.h>

#include <unistd.h>

enum { BAR_CELLS = 24, LINE_COLUMNS = 78, PERIOD_NS = 100000000 };

uint64_t clock_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Relaxed loads: a line that is a moment late harms nobody. */
static void draw(const progress *bar)
{
    build *b = bar->watched;
    uint64_t done = atomic_load_explicit(&b->bytes_done, memory_order_relaxed);
    size_t files = atomic_load_explicit(&b->files_begun, memory_order_relaxed);
    uint64_t all = b->in->bytes;
    uint64_t spent_ms = (clock_ns() - bar->started_ns) / 1000000 + 1;
    double part = all == 0 || done >= all ? 1.0 : (double)done / (double)all;

    char cells[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++)
        cells[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    cells[BAR_CELLS] = '\0';
    char line[160];
    int length = snprintf(line, sizeof line, "%-10s [%s] %3.0f%%  %6.0f MB/s  %zu of %zu files", bar->label, cells,
                          part * 100, (double)done / 1000 / (double)spent_ms, files, b->in->file_count);
    if (length > 0)
        (void)fprintf(stderr, "\r%-*.*s", LINE_COLUMNS, LINE_COLUMNS, line);
}

static void *progress_run(void *argument)
{
    progress *bar = argument;
    (void)pthread_mutex_lock(&bar->mutex);
    while (!bar->stop) {
        draw(bar);
        struct timespec until;
        if (clock_gettime(CLOCK_REALTIME, &until) != 0)
            break;
        until.tv_nsec += PERIOD_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec += 1;
        }
        (void)pthread_cond_timedwait(&bar->wake, &bar->mutex, &until);
    }
    (void)pthread_mutex_unlock(&bar->mutex);
    return NULL;
}

void progress_start(progress *bar, build *watched, const char *label)
{
    *bar = (progress){.watched = watched, .label = label, .started_ns = clock_ns()};
    if (label == NULL || isatty(STDERR_FILENO) != 1)
        return;
    if (pthread_mutex_init(&bar->mutex, NULL) != 0)
        return;
    if (pthread_cond_init(&bar->wake, NULL) == 0) {
        bar->running = pthread_create(&bar->thread, NULL, progress_run, bar) == 0;
        if (bar->running)
            return;
        (void)pthread_cond_destroy(&bar->wake);
    }
    (void)pthread_mutex_destroy(&bar->mutex);
}

void progress_stop(progress *bar)
{
    if (!bar->running)
        return;
    (void)pthread_mutex_lock(&bar->mutex);
    bar->stop = true;
    (void)pthread_cond_signal(&bar->wake);
    (void)pthread_mutex_unlock(&bar->mutex);
    (void)pthread_join(bar->thread, NULL);
    (void)pthread_cond_destroy(&bar->wake);
    (void)pthread_mutex_destroy(&bar->mutex);
    (void)fprintf(stderr, "\r%*s\r", LINE_COLUMNS, "");
}
