/* trace.h - what the program that makes a trace says in it. */
#ifndef TSMBR_TRACE_H
#define TSMBR_TRACE_H

#include "layout.h"

/* Which of the machine's threads this one is; -1: it is not recorded. */
extern _Thread_local int record_thread;
/* This thread's dice; set it to a seed. */
extern _Thread_local unsigned record_dice;
unsigned record_roll(void);

/* A line about this thread: a call, or what it returned. */
void record_say(const char *format, ...) TSMBR_PRINTF(1, 2);
/* The upstream's answer, base 0: it refuses; and what it gets back. */
void record_grant(size_t base, size_t total);
void record_back(size_t base, size_t total);

/* While no call runs. */
void record_begin(const tsmbr_resource *self, int threads, const tsmbr_config *config);
void record_rest(void);
void record_kept(void);

#endif
