/* tools.h - what AddressSanitizer, MemorySanitizer, Valgrind and debug builds are told.
 *
 * In a build for one of these, each public function is a wrapper in tools.c around the function of the
 * core, whose definition names itself CORE(tsmbr_...); those that only call others say TOOLS_CALL. In any other
 * build the core is the public function, and nothing of this is left. TSMBR_NO_TOOLS: nor is it in this one.
 *
 * Key invariant: bytes of a chunk that are no part of a block are poisoned, but for those that share eight
 * bytes with a block's. */
#ifndef TSMBR_TOOLS_H
#define TSMBR_TOOLS_H

#include <stddef.h>

#include "tsmbr.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TSMBR_ASAN
#endif
#if __has_feature(memory_sanitizer)
#define TSMBR_MSAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(TSMBR_ASAN)
#define TSMBR_ASAN
#endif

#if !defined(TSMBR_NO_TOOLS) &&                                                                                   \
    (defined(TSMBR_ASAN) || defined(TSMBR_MSAN) || defined(TSMBR_VALGRIND) || defined(TSMBR_DEBUG))

#define TSMBR_TOOLS
#define CORE(name) name##_core

int CORE(tsmbr_init)(tsmbr_resource *self, const tsmbr_config *config);
void CORE(tsmbr_destroy)(tsmbr_resource *self);
void CORE(tsmbr_release)(tsmbr_resource *self);
void CORE(tsmbr_reset)(tsmbr_resource *self, size_t keep_bytes);
int CORE(tsmbr_reserve)(tsmbr_resource *self, size_t bytes);
void *CORE(tsmbr_allocate)(tsmbr_resource *self, size_t bytes, size_t alignment);
void *CORE(tsmbr_try_allocate)(tsmbr_resource *self, size_t bytes, size_t alignment);
void *CORE(tsmbr_allocate_from)(tsmbr_resource *self, size_t bytes, size_t alignment,
                                const tsmbr_upstream *upstream);
void *CORE(tsmbr_allocate_or_call)(tsmbr_wrapped *self, size_t bytes, size_t alignment);
void CORE(tsmbr_deallocate)(tsmbr_resource *self, void *ptr, size_t bytes, size_t alignment);
bool CORE(tsmbr_try_resize)(tsmbr_resource *self, void *ptr, size_t old_bytes, size_t new_bytes);
void *CORE(tsmbr_reallocate)(tsmbr_resource *self, void *ptr, size_t old_bytes, size_t new_bytes,
                             size_t alignment);
bool CORE(tsmbr_owns)(const tsmbr_resource *self, const void *ptr);
void CORE(tsmbr_get_statistics)(const tsmbr_resource *self, tsmbr_statistics *statistics);
void CORE(tsmbr_lane_open)(tsmbr_lane *run, tsmbr_resource *self);
void CORE(tsmbr_lane_close)(tsmbr_lane *run);
void *CORE(tsmbr_lane_refill)(tsmbr_lane *run, size_t bytes, size_t alignment);
void *CORE(tsmbr_lane_extend)(tsmbr_lane *run, size_t bytes, size_t alignment);

/* In a debug build, of a function that is not wrapped: that it may be called now. */
void tsmbr_tools_call(const tsmbr_resource *self, const char *function);
#define TOOLS_CALL(self) tsmbr_tools_call(self, __func__)

/* Left to tools.c: here `bytes` have red zones, and the fallback is asked for those that the caller wants. */
#define TOOLS_OTHERWISE(wrapped, bytes, alignment) NULL

/* A chunk's memory has come, or is empty again; goes back; a block that the library makes for itself; the end of
 * all blocks, after the cleanups. */
void tsmbr_tools_empty(const void *memory, size_t bytes);
void tsmbr_tools_give_back(const void *memory, size_t bytes);
void tsmbr_tools_own_block(const void *block, size_t bytes);
void tsmbr_tools_blocks_end(const tsmbr_resource *self);
#define TOOLS_EMPTY(memory, bytes) tsmbr_tools_empty(memory, bytes)
#define TOOLS_GIVE_BACK(memory, bytes) tsmbr_tools_give_back(memory, bytes)
#define TOOLS_OWN_BLOCK(block, bytes) tsmbr_tools_own_block(block, bytes)
#define TOOLS_BLOCKS_END(self) tsmbr_tools_blocks_end(self)

#else

#define CORE(name) name
#define TOOLS_CALL(self) ((void)0)
#define TOOLS_OTHERWISE(wrapped, bytes, alignment) (wrapped)->otherwise((wrapped)->context, bytes, alignment)
#define TOOLS_EMPTY(memory, bytes) ((void)0)
#define TOOLS_GIVE_BACK(memory, bytes) ((void)0)
#define TOOLS_OWN_BLOCK(block, bytes) ((void)0)
#define TOOLS_BLOCKS_END(self) ((void)0)

#endif

#endif
