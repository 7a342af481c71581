/* build.h - threads that take pieces of the input, read them, and add their words to the index. */
#ifndef WORD_INDEX_BUILD_H
#define WORD_INDEX_BUILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index.h"
#include "walk.h"

#define THREADS_MOST ((size_t)512)

typedef enum build_status { BUILD_DONE, BUILD_OUT_OF_MEMORY, BUILD_NO_THREADS } build_status;

/* What threads share while they build. All relaxed: see build.c. */
typedef struct build {
    input *in;
    word_index *index; /* NULL: only read */
    atomic_size_t next_piece;
    atomic_size_t files_begun;
    _Atomic uint64_t bytes_done; /* of in->bytes */
    atomic_bool out_of_memory;   /* and everybody stops */
} build;

/* The sum of what the threads did. */
typedef struct build_result {
    build_status status;
    size_t threads; /* that ran: fewer than asked for if the system has no more */
    tally count;
    uint64_t bytes_read;
    size_t long_words;
} build_result;

/* Read all pieces with that many threads; with a bar on the terminal, named `label`, unless NULL. */
build_result build_run(input *in, word_index *index, size_t threads, const char *label);

#endif
