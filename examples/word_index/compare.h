/* compare.h - the same input with every allocator, each in a process of its own. */
#ifndef WORD_INDEX_COMPARE_H
#define WORD_INDEX_COMPARE_H

#include "options.h"
#include "session.h"

/* Fill in a run for each of allocator_types, in their order, with the best times of all rounds. The
 * files are read once before, so that all runs find them in the page cache. The calling process starts
 * no thread and allocates nothing: every child begins with the same heap.
 *
 * Returns false, having said why on stderr, if a run failed. */
bool compare_allocators(run runs[ALLOCATOR_TYPES], input *in, const options *o);

#endif
