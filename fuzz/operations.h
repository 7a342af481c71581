/* operations.h - what programs of one thread and of several have in common. */
#ifndef TSMBR_FUZZ_OPERATIONS_H
#define TSMBR_FUZZ_OPERATIONS_H

#include "reader.h"

extern model the_model;

/* So that the first program of a process does what it does in every other: this thread has its slot. */
void program_open(void);

/* Read the numbers of a call of this kind, and make it. */
void do_call(reader *in, call_kind kind, unsigned resource);
void do_lane(reader *in, call_kind kind, unsigned resource);

/* Give one block to tsmbr_deallocate. */
void do_deallocate(reader *in);

/* Many small blocks: the way to the end of a chunk is short to write. */
void do_burst(reader *in, unsigned resource);

#endif
