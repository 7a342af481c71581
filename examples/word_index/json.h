/* json.h - results for programs: one object.
 *
 * Bytes that are not UTF-8 become \udc80 to \udcff, as in Python's surrogateescape, so that every path
 * and word can be told from every other. Checksums are strings: they do not fit a double. */
#ifndef WORD_INDEX_JSON_H
#define WORD_INDEX_JSON_H

#include "options.h"
#include "session.h"

/* In this order: begin, an answer for each word asked for while the index is there, end. */
void json_begin(const options *o);
void json_answer(const char *text, const answer *a, const input *in, bool first);
void json_end(const options *o, const run *runs, size_t count);

#endif
