/* hints.h - what the compiler is told about which way calls go.
 *
 * A block from a lane is some thirty instructions, and a jump that is taken costs as much as several of them: the
 * way of most calls falls through to its end. scripts/check-fast-path reads the result, make bench times it. */
#ifndef TSMBR_HINTS_H
#define TSMBR_HINTS_H

#if defined(__GNUC__)
#if defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
/* gcc 12 compiles cold functions for size, and there never marks a fake stack frame (AddressSanitizer's
 * detect_stack_use_after_return) as free again: after some thousand calls each looks at all of them in vain. */
#define TSMBR_COLD __attribute__((noinline))
#else
#define TSMBR_COLD __attribute__((noinline, cold))
#endif
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
