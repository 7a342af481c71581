/* support.h - what the tests share: an upstream that watches, threads that start together, random
 * numbers with a printed seed, and a list of blocks that knows when two of them overlap. */
#ifndef TSMBR_TEST_SUPPORT_H
#define TSMBR_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>

#include "tsmbr.h"

#define MAX_ALIGNMENT _Alignof(max_align_t)

/* --------------------------------------------------------------------- a watching upstream -- */

/* Keeps every block it granted; checks that what comes back is what went out; refuses on request.
 * Thread-safe. Everything but the settings is for reading. */
typedef struct watch {
    tsmbr_upstream upstream; /* give this to tsmbr_init */

    /* settings */
    size_t fail_call;    /* refuse this call, counted from 1; 0: none */
    size_t fail_more;    /* and so many that follow it */
    size_t fail_every;   /* refuse every so many calls; 0: none */
    size_t refuse_above; /* refuse larger requests; 0: none */
    size_t budget;       /* refuse what would bring the bytes held above this; 0: none */
    size_t misalign;     /* offset granted memory by so many bytes from the alignment asked */

    /* counts */
    size_t calls; /* of allocate, refused ones included */
    size_t grants;
    size_t returns;
    size_t held; /* bytes */
    size_t peak; /* most bytes held */
    size_t live; /* blocks */
    size_t most_live;
    size_t last_bytes; /* size of the latest request, refused or not */
    size_t errors;     /* wrong or double returns; each is printed */

    struct watch_block *first;
    pthread_mutex_t mutex;
} watch;

void watch_open(watch *w);
/* Whether the bytes lie in one block that is out now. */
bool watch_granted(watch *w, const void *ptr, size_t bytes);
/* Fails the test if a return was wrong or anything is still out. */
void watch_close(watch *w);

/* ------------------------------------------------------------------------------- threads -- */

/* Run function(argument, 0 .. count - 1) on `count` threads that leave a barrier together; join. */
void run_threads(size_t count, void (*function)(void *argument, size_t index), void *argument);

/* Rounds with the same threads: all leave a barrier together, work, and meet at another one, where
 * one of them runs at_rest while the others wait. at_rest must not use cmocka's assertions. */
void run_rounds(size_t count, size_t rounds, void (*work)(void *argument, size_t index, size_t round),
                void (*at_rest)(void *argument, size_t round), void *argument);

/* Sized down where everything is slow: by a sanitizer, and as many times as TSMBR_SLOW in the environment says. */
size_t rounds_for(size_t rounds);

/* --------------------------------------------------------------------------------- machines -- */

/* The program that runs this one where the processor cannot, from TSMBR_EMULATOR in the environment; or NULL. What
 * such a program shows of the system, its maps and its limits, may be its own. */
const char *emulator(void);

/* Memory at a multiple of 4096, which not every C library's aligned_alloc can give. */
void *pages_allocate(size_t bytes);
void pages_free(void *ptr);

/* -------------------------------------------------------------------------- random numbers -- */

/* The seed of this run: TSMBR_SEED from the environment, else the clock. Printed once. */
uint64_t run_seed(void);

typedef struct dice {
    uint64_t state;
} dice;

dice dice_make(uint64_t seed, uint64_t stream);
uint64_t dice_roll(dice *d);
size_t dice_below(dice *d, size_t bound);       /* 0 .. bound - 1 */
size_t dice_size(dice *d, size_t most);         /* 0 .. most, small ones more often */
size_t dice_alignment(dice *d, size_t largest); /* a power of two */

/* ---------------------------------------------------------------------------------- blocks -- */

typedef struct block {
    unsigned char *ptr;
    size_t bytes;
    uint64_t pattern;
} block;

/* Blocks that must be apart and keep what was written. One thread. */
typedef struct blocks {
    block *items;
    size_t count;
    size_t room;
} blocks;

void blocks_add(blocks *b, void *ptr, size_t bytes, uint64_t pattern); /* writes the pattern */
void blocks_append(blocks *b, const blocks *other);
/* Number of faults: overlaps, changed contents. Prints the first few. Reorders the blocks. */
size_t blocks_check(blocks *b);
void blocks_free(blocks *b);

void pattern_write(const block *b);
bool pattern_intact(const block *b);

/* tsmbr_vprintf of the arguments. Here, as support.c is also linked where the library is loaded later. */
TSMBR_PRINTF(2, 3) static inline char *print_arguments(tsmbr_resource *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = tsmbr_vprintf(r, format, arguments);
    va_end(arguments);
    return text;
}

#endif
