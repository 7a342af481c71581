/* survey.h - reading a finished index: what is in it, what is most frequent, where a word occurs.
 *
 * All of it at rest, after the lines have been numbered. */
#ifndef WORD_INDEX_SURVEY_H
#define WORD_INDEX_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index.h"
#include "walk.h"

#define TOP_MOST ((size_t)1000)

typedef struct top_word {
    uint64_t count;
    size_t length;
    char text[WORD_MOST];
} top_word;

typedef struct survey {
    uint64_t words;
    uint64_t postings;
    uint64_t checksum; /* of all (word, path, line), whatever their order */
    size_t top_count;
    top_word top[TOP_MOST]; /* most frequent first, equal ones by their bytes */
} survey;

void survey_take(survey *s, const word_index *ix, const input *in, size_t top);

/* One line in which a word occurs. */
typedef struct place {
    uint32_t file;
    uint64_t line;
    size_t count;
} place;

/* Where a word occurs, sorted by path and line, each line once. */
typedef struct answer {
    place *places; /* from malloc */
    size_t count;
    size_t occurrences;
    size_t files;
} answer;

/* The places of a word that is in the index; none for NULL. False: out of memory. */
bool answer_find(answer *a, const word *w, const input *in);
void answer_destroy(answer *a);

#endif
