/* index.h - a concurrent inverted index: word -> every place where it occurs.
 *
 *    buckets                 words                      postings, latest first
 *     +---+
 *     | 0 |
 *     +---+    +------+      +------+
 *     | 1 |--->| word |----->| word |--> NULL
 *     +---+    +------+      +------+
 *     | 2 |     |    |        |    +----> "int"         the key
 *     +---+     |   "void"    |
 *       :       v             v
 *              posting        posting -> posting -> NULL
 *
 * Key invariant: lists grow at their heads only, and nothing reachable is taken out or changed until
 * teardown, but for the head of a word's postings. So a list may be read while it grows, and a thread
 * that lost a race has to look only at the nodes between the new head and the one it knew.
 *
 * Key invariant: a word has one node. A thread adds a node only to the very list in which it has
 * looked for the word and not found it.
 *
 * Buckets, words, keys and postings are blocks of one allocator that all threads share. */
#ifndef WORD_INDEX_INDEX_H
#define WORD_INDEX_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocators.h"

/* Longer runs of word bytes are no words. */
#define WORD_MOST ((size_t)255)

typedef struct posting {
    struct posting *next;
    uint32_t piece;
    uint32_t line; /* counted from 0 in the piece */
} posting;

typedef struct word {
    struct word *next; /* set before the word is published */
    _Atomic(posting *) postings;
    uint64_t hash;
    char *key; /* not terminated */
    uint32_t length;
} word;

typedef struct word_index {
    allocator *memory;
    _Atomic(word *) *buckets;
    size_t mask; /* number of buckets, a power of two, minus one */
} word_index;

/* What one thread asked of the allocator, counted where no other thread looks. */
typedef struct tally {
    size_t blocks;
    size_t bytes;
} tally;

/* Whether a byte belongs to words: letters, digits, underscore, and all of UTF-8 beyond ASCII. */
static inline bool is_word_byte(unsigned char byte)
{
    static const uint32_t set[8] = {0,          0x03ff0000, 0x87fffffe, 0x07fffffe,
                                    0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
    return (set[byte >> 5] >> (byte & 31)) & 1;
}

/* An empty index with buckets for an input of that many bytes. False: out of memory. */
bool index_init(word_index *ix, allocator *memory, uint64_t input_bytes, tally *count);

/* Add one occurrence of a word. Any thread.
 *
 * Returns false if memory ran out; the index is then as before, or has gained the word without a posting.
 * Progress: lock-free, the allocator aside. */
bool index_add(word_index *ix, const char *text, size_t length, uint32_t piece, uint32_t line, tally *count);

/* The word, or NULL. Any thread. */
const word *index_find(const word_index *ix, const char *text, size_t length);

/* At rest: call visit with every word. */
void index_each(const word_index *ix, void (*visit)(void *context, const word *w), void *context);

/* At rest: the latest posting of a word. */
const posting *word_postings(const word *w);

/* At rest: give all memory back, block by block if the allocator wants that, and close the allocator. */
void index_teardown(word_index *ix);

#endif
