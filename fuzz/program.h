/* program.h - bytes as programs of calls. Any bytes are a program.
 *
 *    calls    | config of resource 0 | operation | operation | ...
 *    threads  | config | 1 length for each thread but the last | operations of thread 0 | ... | of the last |
 *
 * An operation is its number and the numbers it wants; where bytes run out they are zero. Sizes are written so
 * that interesting ones are short: small ones, powers of two and their neighbours, what is left of the limit, of
 * the buffer or of a chunk, and sizes that cannot be represented. */
#ifndef TSMBR_FUZZ_PROGRAM_H
#define TSMBR_FUZZ_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Run a program of one thread at a time, on three resources. A fault aborts. */
void program_of_calls(const uint8_t *data, size_t size);

/* Run a program for each of two to four threads on a shared resource or two, twice with a reset in between. */
void program_of_threads(const uint8_t *data, size_t size);

/* What an entry point runs. */
typedef void program(const uint8_t *data, size_t size);

#endif
