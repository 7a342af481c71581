/* hints.h - what the compiler is told about which way calls go.
 *
 * A block from a lane is some thirty instructions, and a jump that is taken costs as much as several of them: the
 * way of most calls falls through to its end. scripts/check-fast-path reads the result, make bench times it. */
#ifndef TSMBR_HINTS_H
#define TSMBR_HINTS_H

#if defined(__GNUC__)
#define TSMBR_COLD __attribute__((noinline, cold))
#define TSMBR_OUT_OF_LINE __attribute__((noinline))
#define TSMBR_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define TSMBR_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define TSMBR_COLD
#define TSMBR_OUT_OF_LINE
#define TSMBR_LIKELY(condition) (condition)
#define TSMBR_UNLIKELY(condition) (condition)
#endif

#endif
