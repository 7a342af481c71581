/* supply.h - where the fuzzed resources get their memory.
 *
 *    arena  | gap | grant | gap | grant | grant | ... |      |
 *                                                     ^top
 *
 * All memory comes from one arena, at places that the program chooses: tight behind the grant before, so that
 * a chunk's neighbour is another chunk, or at any distance from a line. The same program meets the same places
 * in every run. The bytes between two grants hold a pattern that nobody may touch. An account can also pass
 * requests on to an upstream of the library, and watch.
 *
 * Key invariant: grants are apart; an account's `held` is the sum of its grants. */
#ifndef TSMBR_FUZZ_SUPPLY_H
#define TSMBR_FUZZ_SUPPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "../tests/sanitizers.h"
#include "tsmbr.h"

/* FUZZ_TOOLS: the library is one for tools, with its checks for mistakes and, in a build for AddressSanitizer or
 * MemorySanitizer, the poison on all that is no block. */
#if defined(FUZZ_TOOLS)
#define TOOLS true
#else
#define TOOLS false
#endif
#if UNDER_ASAN
#include <sanitizer/asan_interface.h>
#define POISON true
#define IS_POISONED(ptr) (__asan_address_is_poisoned(ptr) != 0)
#elif UNDER_MSAN
#include <sanitizer/msan_interface.h>
#define POISON true
#define IS_POISONED(ptr) (__msan_test_shadow(ptr, 1) == 0)
#else
#define POISON false
#define IS_POISONED(ptr) ((void)(ptr), false)
#endif

/* Report a fault and abort: the way a fuzzer wants it. */
#if defined(__GNUC__)
__attribute__((__noreturn__))
#endif
void fail(const char *format, ...) TSMBR_PRINTF(1, 2);

#define REQUIRE_THAT(condition, ...)                                                                              \
    do {                                                                                                          \
        if (!(condition))                                                                                         \
            fail(__VA_ARGS__);                                                                                    \
    } while (0)

typedef struct supply {
    tsmbr_upstream upstream;    /* what the resource is made with */
    tsmbr_upstream second;      /* interchangeable with it, for tsmbr_allocate_from */
    const tsmbr_upstream *base; /* NULL: the arena */

    /* settings */
    size_t fail_after;   /* so many calls from now one is refused; 0: none */
    size_t fail_every;   /* refuse every so many calls; 0: none */
    size_t refuse_above; /* refuse larger requests; 0: none */
    size_t misalign;     /* distance of a grant from a line */
    size_t gap;          /* bytes before a grant, at least; 0: tight behind the one before */
    bool wrap_next;      /* the next grant is of memory that would wrap, which no object does */

    /* counts */
    size_t calls; /* of allocate, refused ones included */
    size_t refusals;
    size_t least_refused;    /* the smallest request refused since this was last set to SIZE_MAX */
    size_t largest_returned; /* the same, of returns: since it was set to 0; and the smallest */
    size_t least_returned;
    size_t held; /* bytes */
    size_t live; /* grants */
    size_t peak;
    size_t last_bytes; /* of the last grant */
    void *wrapping;    /* a grant that wraps, until it comes back */
} supply;

/* Memory that is out. */
typedef struct grant {
    unsigned char *base;
    size_t bytes;
    const supply *owner;
    unsigned char *guarded; /* [guarded, base) holds the pattern of gaps */
    size_t next;            /* for the model: bytes from base that blocks have, where that is known */
    bool buffer;            /* a caller's buffer; else it went to a resource */
} grant;

void supply_open(supply *s, const tsmbr_upstream *base);

/* A caller's buffer in the arena; it stays until supply_close. */
unsigned char *supply_buffer(supply *s, size_t bytes);

/* Fails if the resource has not given everything back. Takes the buffer back. */
void supply_close(supply *s);

/* The grant of s that has all these bytes, or NULL. */
grant *supply_find(const supply *s, const void *ptr, size_t bytes);

/* The grants of s, one after the other: NULL begins, NULL ends. */
grant *supply_next(const supply *s, const grant *before);

/* Bytes of a grant that blocks can be in: those before the chunk's record, which stands on the last whole line. */
size_t grant_capacity(const grant *g);

/* Fails if somebody wrote between grants. */
void supply_check(void);

/* Forget what a finished program left of memory in the arena; the next one meets the same places. */
void supply_tidy(void);

/* For programs whose threads ask at the same time. */
void supply_lock(void);
void supply_unlock(void);

#endif
