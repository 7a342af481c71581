/* session.h - one index from its allocator to its teardown, with the clock running. */
#ifndef WORD_INDEX_SESSION_H
#define WORD_INDEX_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "build.h"
#include "survey.h"

/* What is known of an index once it is gone. Plain data: it goes through a pipe. */
typedef struct run {
    build_status status;
    size_t threads;
    tally count; /* blocks and bytes asked of the allocator */
    size_t held; /* bytes and chunks it had from the system for them, or UNKNOWN */
    size_t chunks;
    uint64_t build_ns;
    uint64_t teardown_ns;
    size_t files;    /* indexed */
    size_t readable; /* read, if only to find that there is nothing to index */
    uint64_t bytes;
    size_t skipped[SKIP_KINDS]; /* by the walk and the readers */
    survey found;
    bool differed; /* from another run with the same allocator */
} run;

typedef struct session {
    allocator memory;
    word_index index;
} session;

/* Build an index of the input; if top is not 0, look at what is in it. What went wrong is in
 * out->status; end the session in any case. */
void session_build(session *s, run *out, input *in, const allocator_type *type, size_t limit, size_t threads,
                   size_t top, const char *label);

/* Give all memory back. */
void session_end(session *s, run *out);

/* Say on stderr what went wrong in a run, if anything did. */
bool run_ok(const run *r, const char *name, size_t limit);

#endif
