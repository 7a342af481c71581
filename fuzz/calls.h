/* calls.h - make one call of the library, and judge what it did. */
#ifndef TSMBR_FUZZ_CALLS_H
#define TSMBR_FUZZ_CALLS_H

#include "model.h"

/* Whoever calls. */
typedef struct actor {
    model *m;
    blocks *mine; /* blocks of a thread that runs beside others; NULL: alone, blocks are in the model */
    uint32_t seed;
    unsigned lane;                  /* of such a thread: the only one it uses; LANES: none */
    size_t refusals;                /* calls that were refused */
    size_t hidden_bytes[RESOURCES]; /* it has in blocks that are not in `mine`, with padding */
} actor;

/* Once, before anything else. */
void calls_open(void);

/* Of a call that makes or changes a block: what it comes to in bytes and alignment. False if the bytes cannot be
 * represented. */
bool call_shape(const call *c, size_t *bytes, size_t *alignment);

/* Make the call, judge it, note it in the resource's frame. `old` is the block of a resize or reallocate. Returns
 * c->result. */
void *call_make(actor *a, call *c, block *old);

/* Note a call that was made in the resource's frame; before it the upstream had been asked and had refused so
 * often. */
void call_note(subject *s, const call *c, size_t calls, size_t refusals);

/* Give the block to tsmbr_deallocate; it is nobody's then. */
void call_deallocate(actor *a, block *b);

/* Fails unless memory of the resource, before its chunk's record, has these bytes. NULL if that is not known. */
grant *require_held(const subject *s, unsigned char *ptr, size_t bytes);

/* Print calls as they are made, to read what a finding does. */
extern bool calls_are_told;
void tell_of(const char *format, ...) TSMBR_PRINTF(1, 2);

#endif
