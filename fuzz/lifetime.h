/* lifetime.h - calls that need the resource to themselves, and what they must leave behind. */
#ifndef TSMBR_FUZZ_LIFETIME_H
#define TSMBR_FUZZ_LIFETIME_H

#include "calls.h"

void lifetime_reset(actor *a, unsigned resource, size_t keep_bytes);
void lifetime_release(actor *a, unsigned resource);
void lifetime_reserve(actor *a, unsigned resource, size_t bytes);
void lifetime_on_release(actor *a, unsigned resource, unsigned kind);

/* Reset, keep all, and make the calls since the last reset again: the same blocks, nothing from the upstream. Or,
 * where they began in the constructed state, release and make them again: the same sizes asked of the upstream.
 * Neither if the calls cannot be repeated. */
void lifetime_repeat(actor *a, unsigned resource, bool release);

/* Calls that must be refused for their arguments. */
void lifetime_misuse(actor *a, unsigned resource, unsigned which);

#endif
