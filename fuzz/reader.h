/* reader.h - reads the numbers of a program. Where bytes run out they are zero. */
#ifndef TSMBR_FUZZ_READER_H
#define TSMBR_FUZZ_READER_H

#include "calls.h"

typedef struct reader {
    const uint8_t *data;
    size_t left;
    actor a;       /* who reads and calls */
    unsigned hops; /* depth of threads that are another's */
} reader;

unsigned read_byte(reader *in);

/* Any size. */
size_t read_size(reader *in, unsigned resource);

/* A size that can be had, or one that cannot be represented. */
size_t read_bytes(reader *in, unsigned resource);

size_t read_alignment(reader *in);
plan read_plan(reader *in, unsigned resource);

/* A block that may be resized: one of the latest, or any. NULL: there is none. */
block *read_block(reader *in);

#endif
