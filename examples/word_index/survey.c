/* survey.c - counting, checksums, the most frequent words, and the places of one. */
#include "survey.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"

static uint64_t line_of(const input *in, const posting *p)
{
    return in->pieces[p->piece].first_line + p->line;
}

/* ------------------------------------------------------------------------------------------- top -- */

static bool more_frequent(uint64_t count, const word *w, const top_word *than)
{
    if (count != than->count)
        return count > than->count;
    size_t shorter = w->length < than->length ? w->length : than->length;
    int order = memcmp(w->key, than->text, shorter);
    return order != 0 ? order < 0 : w->length < than->length;
}

/* Insert the word where it belongs among the first `most`, if it does. */
static void top_offer(survey *s, size_t most, uint64_t count, const word *w)
{
    size_t at = s->top_count;
    while (at > 0 && more_frequent(count, w, &s->top[at - 1]))
        at -= 1;
    if (at == most)
        return;
    if (s->top_count < most)
        s->top_count += 1;
    memmove(&s->top[at + 1], &s->top[at], (s->top_count - 1 - at) * sizeof *s->top);
    s->top[at] = (top_word){.count = count, .length = w->length};
    memcpy(s->top[at].text, w->key, w->length);
}

/* ---------------------------------------------------------------------------------------- survey -- */

typedef struct surveyor {
    survey *out;
    const input *in;
    size_t most;
} surveyor;

static void survey_word(void *context, const word *w)
{
    const surveyor *self = context;
    survey *s = self->out;
    uint64_t count = 0;
    for (const posting *p = word_postings(w); p != NULL; p = p->next) {
        s->checksum += hash_mix(hash_mix(w->hash ^ self->in->pieces[p->piece].path_hash) + line_of(self->in, p));
        count += 1;
    }
    s->words += count != 0;
    s->postings += count;
    if (count != 0)
        top_offer(s, self->most, count, w);
}

void survey_take(survey *s, const word_index *ix, const input *in, size_t top)
{
    *s = (survey){.words = 0};
    surveyor self = {s, in, top < TOP_MOST ? top : TOP_MOST};
    index_each(ix, survey_word, &self);
}

/* ---------------------------------------------------------------------------------------- answer -- */

static int compare_places(const void *left, const void *right)
{
    const place *a = left;
    const place *b = right;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* Sorted places with each line once. */
static void merge_lines(answer *a)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->count; i++) {
        place *last = kept == 0 ? NULL : &a->places[kept - 1];
        if (last != NULL && compare_places(last, &a->places[i]) == 0) {
            last->count += 1;
            continue;
        }
        a->files += last == NULL || last->file != a->places[i].file;
        a->places[kept++] = a->places[i];
    }
    a->count = kept;
}

bool answer_find(answer *a, const word *w, const input *in)
{
    *a = (answer){.places = NULL};
    if (w == NULL)
        return true;
    for (const posting *p = word_postings(w); p != NULL; p = p->next)
        a->occurrences += 1;
    a->places = malloc((a->occurrences + 1) * sizeof *a->places);
    if (a->places == NULL)
        return false;
    for (const posting *p = word_postings(w); p != NULL; p = p->next)
        a->places[a->count++] = (place){in->pieces[p->piece].file, line_of(in, p), 1};
    qsort(a->places, a->count, sizeof *a->places, compare_places);
    merge_lines(a);
    return true;
}

void answer_destroy(answer *a)
{
    free(a->places);
    a->places = NULL;
}
