/* report.h - results for people. json.h has them for programs. */
#ifndef WORD_INDEX_REPORT_H
#define WORD_INDEX_REPORT_H

#include <stdio.h>

#include "options.h"
#include "session.h"

/* The name of a kind, for JSON. */
const char *skip_name(skip kind);

/* Where a word occurs. */
void report_answer(const char *text, const answer *a, const input *in);

/* Everything known of one run, or of one for each of allocator_types. */
void report_summary(const options *o, const run *runs, size_t count);

/* What was left out. */
void report_skipped(FILE *to, const size_t skipped[SKIP_KINDS]);

/* Whether the runs found the same. */
bool runs_equal(const run *runs, size_t count);

#endif
