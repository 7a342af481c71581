/* index.c - adding to the index from many threads, and taking it down. */
#include "index.h"

#include <string.h>

#include "hash.h"

/* ------------------------------------------------------------------------------- atomic accesses -- */

/* pair: bucket_cas_acq_rel. carries: the fields and the key of the word read, and of all behind it: each
 *   was published by a compare-and-swap that the next one read.
 * without: A publishes a word; B finds it in the bucket, reads its old `key`, and compares garbage. */
static word *bucket_load_acquire(_Atomic(word *) *bucket)
{
    return atomic_load_explicit(bucket, memory_order_acquire);
}

/* pair: bucket_load_acquire, and a failed one of these. carries, without: as there.
 * success acq_rel: release publishes `desired`; acquire adds nothing, the list behind was acquired with
 *   *seen, but C11 wants the order of success to be no weaker than that of failure.
 * failure acquire: *seen is then the newer head, whose words are looked at next. */
static bool bucket_cas_acq_rel(_Atomic(word *) *bucket, word **seen, word *desired)
{
    return atomic_compare_exchange_strong_explicit(bucket, seen, desired, memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* stale: postings_cas_relaxed needs the present value, and nobody follows the pointer until rest. */
static posting *postings_load_relaxed(const word *w)
{
    return atomic_load_explicit(&((word *)w)->postings, memory_order_relaxed);
}

/* Relaxed: postings are read at rest only, after pthread_join with every thread that added one, which
 * carries their fields. failure relaxed: the value is only linked to, not followed. */
static bool postings_cas_relaxed(word *w, posting **seen, posting *desired)
{
    return atomic_compare_exchange_strong_explicit(&w->postings, seen, desired, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* ---------------------------------------------------------------------------------------- memory -- */

static void *block_new(word_index *ix, size_t bytes, size_t alignment, tally *count)
{
    void *block = ix->memory->type->allocate(ix->memory, bytes, alignment);
    if (block != NULL) {
        count->blocks += 1;
        count->bytes += bytes;
    }
    return block;
}

/* Of a block that never got into the index: it does not count. */
static void block_discard(word_index *ix, void *block, size_t bytes, tally *count)
{
    if (ix->memory->type->free != NULL)
        ix->memory->type->free(ix->memory, block);
    count->blocks -= 1;
    count->bytes -= bytes;
}

/* A bucket for every 128 bytes of input: about one for each distinct word of source text. */
static size_t bucket_count(uint64_t input_bytes)
{
    size_t count = 1024;
    while (count < (size_t)1 << 24 && count < input_bytes / 128)
        count *= 2;
    return count;
}

bool index_init(word_index *ix, allocator *memory, uint64_t input_bytes, tally *count)
{
    size_t buckets = bucket_count(input_bytes);
    *ix = (word_index){.memory = memory, .mask = buckets - 1};
    ix->buckets = block_new(ix, buckets * sizeof *ix->buckets, _Alignof(_Atomic(word *)), count);
    if (ix->buckets == NULL)
        return false;
    for (size_t i = 0; i < buckets; i++)
        atomic_init(&ix->buckets[i], NULL);
    return true;
}

/* ----------------------------------------------------------------------------------------- words -- */

/* Look for a word in a list from `first` up to, not including, `last`. */
static word *list_find(word *first, const word *last, uint64_t hash, const char *text, size_t length)
{
    for (word *w = first; w != last; w = w->next)
        if (w->hash == hash && w->length == length && memcmp(w->key, text, length) == 0)
            return w;
    return NULL;
}

static word *word_new(word_index *ix, uint64_t hash, const char *text, size_t length, tally *count)
{
    char *key = block_new(ix, length, 1, count);
    if (key == NULL)
        return NULL;
    word *w = block_new(ix, sizeof *w, _Alignof(word), count);
    if (w == NULL) {
        block_discard(ix, key, length, count);
        return NULL;
    }
    memcpy(key, text, length);
    w->hash = hash;
    w->key = key;
    w->length = (uint32_t)length;
    atomic_init(&w->postings, NULL);
    return w;
}

static void word_discard(word_index *ix, word *w, tally *count)
{
    block_discard(ix, w->key, w->length, count);
    block_discard(ix, w, sizeof *w, count);
}

/* The word's node, a new one if it has none. NULL: out of memory. */
static word *word_obtain(word_index *ix, const char *text, size_t length, tally *count)
{
    uint64_t hash = hash_bytes(text, length);
    _Atomic(word *) *bucket = &ix->buckets[hash & ix->mask];
    word *seen = bucket_load_acquire(bucket);
    word *found = list_find(seen, NULL, hash, text, length);
    if (found != NULL)
        return found;
    word *mine = word_new(ix, hash, text, length, count);
    if (mine == NULL)
        return NULL;
    for (;;) {
        word *searched = seen; /* the word is not in the list from here on */
        mine->next = seen;
        if (bucket_cas_acq_rel(bucket, &seen, mine))
            return mine;
        found = list_find(seen, searched, hash, text, length);
        if (found != NULL) {
            word_discard(ix, mine, count);
            return found;
        }
    }
}

bool index_add(word_index *ix, const char *text, size_t length, uint32_t piece, uint32_t line, tally *count)
{
    word *w = word_obtain(ix, text, length, count);
    if (w == NULL)
        return false;
    posting *p = block_new(ix, sizeof *p, _Alignof(posting), count);
    if (p == NULL)
        return false;
    p->piece = piece;
    p->line = line;
    posting *seen = postings_load_relaxed(w);
    do
        p->next = seen;
    while (!postings_cas_relaxed(w, &seen, p));
    return true;
}

/* --------------------------------------------------------------------------------------- reading -- */

const word *index_find(const word_index *ix, const char *text, size_t length)
{
    uint64_t hash = hash_bytes(text, length);
    return list_find(bucket_load_acquire(&ix->buckets[hash & ix->mask]), NULL, hash, text, length);
}

void index_each(const word_index *ix, void (*visit)(void *context, const word *w), void *context)
{
    for (size_t i = 0; i <= ix->mask; i++)
        for (const word *w = bucket_load_acquire(&ix->buckets[i]); w != NULL; w = w->next)
            visit(context, w);
}

const posting *word_postings(const word *w)
{
    return postings_load_relaxed(w);
}

/* -------------------------------------------------------------------------------------- teardown -- */

static void word_free(allocator *memory, word *w)
{
    for (posting *p = postings_load_relaxed(w); p != NULL;) {
        posting *next = p->next;
        memory->type->free(memory, p);
        p = next;
    }
    memory->type->free(memory, w->key);
    memory->type->free(memory, w);
}

static void free_each_block(word_index *ix)
{
    for (size_t i = 0; i <= ix->mask; i++) {
        for (word *w = bucket_load_acquire(&ix->buckets[i]); w != NULL;) {
            word *next = w->next;
            word_free(ix->memory, w);
            w = next;
        }
    }
    ix->memory->type->free(ix->memory, ix->buckets);
}

void index_teardown(word_index *ix)
{
    if (ix->memory->type->free != NULL && ix->buckets != NULL)
        free_each_block(ix);
    ix->memory->type->teardown(ix->memory);
}
