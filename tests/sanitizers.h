/* sanitizers.h - which sanitizer the compiler builds for, gcc or clang: 1 or 0 each. */
#ifndef SANITIZERS_H
#define SANITIZERS_H

#if defined(__has_feature)
#define UNDER_ASAN __has_feature(address_sanitizer)
#define UNDER_MSAN __has_feature(memory_sanitizer)
#define UNDER_TSAN __has_feature(thread_sanitizer)
#define UNDER_UBSAN __has_feature(undefined_behavior_sanitizer)
#else
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif
#define UNDER_MSAN 0 /* gcc has none */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif
#define UNDER_UBSAN 0 /* gcc does not say */
#endif

#endif
