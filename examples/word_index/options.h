/* options.h - the command line. */
#ifndef WORD_INDEX_OPTIONS_H
#define WORD_INDEX_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "allocators.h"

typedef struct options {
    const char **paths; /* to index; never empty */
    size_t path_count;
    const char **words; /* to look up */
    size_t word_count;
    size_t threads;
    const allocator_type *allocator;
    size_t limit; /* bytes; 0: none */
    size_t top;
    size_t rounds; /* of --compare */
    bool summary;  /* print it */
    bool compare;
    bool json;
    bool help;
    bool version;
    const char **storage; /* of paths and words */
} options;

/* Read the command line. Returns 0; 1 if memory ran out; 2 if it is wrong, having said on stderr what
 * to do about it. */
int options_parse(options *o, int argc, char **argv);
void options_destroy(options *o);

void options_print_help(void);

#endif
