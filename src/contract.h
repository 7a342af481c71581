/* contract.h - contracts of functions, checked in debug builds.
 *
 * REQUIRE  a duty of the caller, where checking it costs too much in production
 * ENSURE   a promise of the function that contains it
 *
 * With TSMBR_DEBUG a broken one prints what it is, and whose fault, and aborts; without, it is parsed and costs
 * nothing. Never name two shared words loaded apart in one of these: other threads move between. */
#ifndef TSMBR_CONTRACT_H
#define TSMBR_CONTRACT_H

#if defined(TSMBR_DEBUG)
#include <stdio.h>
#include <stdlib.h>
#define TSMBR_CONTRACT(kind, condition)                                                                           \
    ((condition)                                                                                                  \
         ? (void)0                                                                                                \
         : (fprintf(stderr, "tsmbr: %s: %s (%s, %s:%d)\n", (kind), #condition, __func__, __FILE__, __LINE__),     \
            abort()))
#else
#define TSMBR_CONTRACT(kind, condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#define REQUIRE(condition)                                                                                        \
    TSMBR_CONTRACT("a caller's duty is not kept; look for a call that breaks a rule of tsmbr.h, and if there is " \
                   "none, report it",                                                                             \
                   condition)
#define ENSURE(condition) TSMBR_CONTRACT("the library broke a promise; please report it", condition)

#endif
