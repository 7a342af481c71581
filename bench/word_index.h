/* word_index.h - the example's index over /usr/include, with memory from elsewhere. */
#ifndef TSMBR_BENCH_WORD_INDEX_H
#define TSMBR_BENCH_WORD_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct word_index_memory {
    void *(*allocate)(void *context, size_t bytes, size_t alignment); /* any thread */
    void (*free)(void *context, void *block);                         /* NULL: blocks are freed together */
    void *context;
} word_index_memory;

typedef struct word_index_times {
    double seconds; /* build and teardown, the reading of the files included */
    size_t blocks;
} word_index_times;

/* Index all files under `path` once, tear it down. One call in a process. False: nothing to read, or no memory. */
bool word_index_measure(const char *path, const word_index_memory *memory, size_t threads, word_index_times *out);

#ifdef __cplusplus
}
#endif

#endif
