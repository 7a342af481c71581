/* tsmbr.h - a monotonic buffer resource that many threads share.
 *
 * SPDX-License-Identifier: MIT
 *
 * A resource hands out blocks from its current chunk of memory. Each thread that allocates takes a run of
 * bytes, its lane, by one compare-and-swap, and serves its blocks from there by moving a pointer of its
 * own. Where a chunk has no room left, a bigger one is got from an upstream allocator. Blocks are never freed
 * one by one: release gives everything back at once.
 *
 *     tsmbr_resource arena;
 *     tsmbr_init(&arena, NULL);
 *     char *text = tsmbr_allocate(&arena, 100, 1);      // from any thread
 *     ...
 *     tsmbr_destroy(&arena);                            // when every thread is done
 *
 *
 * Which calls may run together on one resource
 * --------------------------------------------
 *
 *                      with a call below     with itself      needs all other threads out
 *   allocate family    yes                   yes              no
 *   lane_...           yes                   yes (3)          no
 *   try_resize,
 *     reallocate       yes                   yes (1)          no
 *   on_release         yes                   yes              no
 *   deallocate         yes                   yes              no
 *   owns, statistics,
 *     upstream         yes                   yes              no
 *   init, destroy,
 *     release, reset,
 *     reserve          NO                    NO               yes (2)
 *
 *   (1) One block has one owner: two threads must not resize the same block at the same time.
 *   (2) Every call on the resource made by another thread must happen before this one or after it,
 *       by the program's own synchronization: a joined thread, a barrier, a mutex. The library
 *       cannot see to it; a debug build of it notices where calls meet, see Tools.
 *   (3) On different lanes; a lane is used by one thread at a time.
 *
 * "Allocate family" stands for tsmbr_allocate, tsmbr_try_allocate, tsmbr_allocate_from,
 * tsmbr_allocate_or_call, tsmbr_allocate_array, tsmbr_calloc, tsmbr_memdup, tsmbr_strdup, tsmbr_strndup,
 * tsmbr_printf, tsmbr_vprintf and the macros over them.
 *
 *
 * Progress
 * --------
 *
 * The library holds no lock. A call whose lane has room is one step of its own thread, whatever the others
 * do (wait-free). Beyond that, a compare-and-swap is lost only to another thread's operation that took
 * effect, so some thread always gets on; one thread alone may retry without bound while others
 * succeed (lock-free, not wait-free). A stalled thread stops nobody: a call that could use the chunk
 * another thread is asking for yields the processor a bounded number of times, then asks itself.
 *
 * Proved, of a machine of these steps: lockFreedomTheorem, failedCasTheorem, casDisjointnessTheorem,
 * raceFreedomTheorem, linearizabilityTheorem, laneTheorem, laneWaitFreedomTheorem; docs/guarantees.md says what
 * that means.
 *
 * A call that gets a new chunk calls the upstream, and where that takes locks, as malloc does, the call is not
 * lock-free. Nor need it be where a thread gets its first lane, in whatever resource: the system is asked once to
 * tell of the thread's end, by pthread_setspecific, in which glibc may call calloc. tsmbr_try_allocate does
 * neither. On Windows the first call of a thread that looks for its lane, tsmbr_try_allocate and tsmbr_try_resize
 * included, takes some bytes from the process's heap, which has a lock.
 *
 *
 * Errors
 * ------
 *
 * A failed allocation returns NULL, sets errno, and changes nothing: the resource serves later
 * requests as if the failed one had not been made.
 *
 *   EINVAL   the alignment is zero or not a power of two
 *   ENOMEM   the upstream refused, the limit would be exceeded, or the size cannot be represented
 *
 * Refused means that no chunk held had room; of tsmbr_try_allocate, and of tsmbr_allocate_from without an
 * upstream, only that the current one had none, nor the one kept by reset that comes next for a block of that
 * size: another may have. Under a limit it means also that less of it was left than the block's bytes, its
 * alignment - 1 and 127 for a chunk's record; there the bytes of chunks that other threads are asking for at that
 * moment count, and a request that only they stand in the way of looks again for a while before it is refused.
 * tsmbr_printf also passes on what vsnprintf reports, at the cost of a byte if it does so only as the text is
 * written. tsmbr_try_allocate and tsmbr_try_resize do not touch errno. A successful call leaves it as it was.
 *
 *
 * Lanes
 * -----
 *
 * In a chunk of less than 16 KiB threads have no lanes: its blocks are carved one by one. In a larger one a lane's
 * first run is 256 bytes, or a 16th of its largest if that is more, and each further run is twice as large. The
 * largest is a 64th of the chunk; but if that is no caller's buffer of up to 1 MiB, it is an 8th as long as no
 * more than two lanes have had a run of the resource since its last reset, and a 32nd as long as no more than four
 * have; never more than 2 MiB. Explicit lanes count, too, from their first run on and anew when they are opened
 * again, so where tasks open many, all lanes have the smaller runs. They have runs in any chunk of which their
 * largest would be 256 bytes: from 2 KiB on, later ones from 8 or 16, and in a caller's buffer all from 16. What a
 * lane has not used when its thread goes on elsewhere stays unused until release, and is counted; so does the
 * table of a thread that makes one when another has just made it, which happens where threads of one table all
 * begin at once. At most 256 threads have lanes at a time, in all resources together; others, and resources with
 * TSMBR_SHARED_ONLY, take each block by a compare-and-swap. A thread that ends leaves its lanes to the next one
 * that begins. Fibers may move between threads, but not in the middle of a call.
 *
 * Lanes stand in tables that the process's threads share in the order in which they came, and a table is made only
 * in a chunk of which it is at most the 12th part, in a caller's buffer the 64th. So threads 1 to 16 get a lane in
 * chunks from 16 KiB on, 17 to 32 from 26 KiB, and later ones from 50 KiB; in a caller's buffer 1 and 2 from 16
 * KiB on, 3 and 4 from 24, 5 to 8 from 40, 9 to 16 from 72, 17 to 32 from 136, and later ones from 264 KiB. A late
 * thread has no lane in smaller chunks, though it may be alone on its resource.
 *
 * Signal handlers: tsmbr_try_allocate may be called anywhere, but not on a resource on which the handler's own
 * thread is inside init, destroy, release, reset or reserve, cleanups aside. A handler that has interrupted its
 * thread in another call is served beside the lane. Other calls of the allocate family are fit for handlers only
 * if neither the resource nor the thread needs anything new, no chunk from the upstream, no first lane;
 * tsmbr_printf and tsmbr_vprintf never are.
 *
 *
 * Threads and processes that end, fork, unloading
 * -----------------------------------------------
 *
 * Blocks may be taken while a thread ends, in destructors of thread-specific data and of thread_local objects,
 * and while the process does, in handlers of atexit and destructors of static objects.
 *
 * No call is a cancellation point, so deferred cancellation, the default, loses nothing as long as the upstream
 * is none either; those that come with the library are none. A thread must not be cancelled asynchronously in a
 * call.
 *
 * fork: the child may use every resource at once, release and reset it, too, whatever other threads of its parent
 * were doing but init, destroy, release, reset or reserve. The upstream must stand it as well, as malloc does.
 * What those threads had not finished never happens in the child. It loses, until release or reset, what their
 * lanes had ready and what they were asking for under a limit; for good, a chunk that one of them had just got
 * from the upstream. Their slots stay taken, so that no thread of the child goes on in a lane that is
 * half changed: where each of many generations has threads of its own, the 256 run out, and lanes with them.
 *
 * dlclose: on systems with ELF the shared library stays in the process, and a thread that has used it may end at
 * any time. A module that holds the static library may be unloaded while such threads live on, but not while
 * one is just ending.
 *
 * All calls on a resource go to one copy of the library: copies, as in a program and a module that both hold the
 * static library, do not know of each other's threads. Only a resource with TSMBR_SHARED_ONLY may be shared by
 * copies of one version.
 *
 *
 * Surplus
 * -------
 *
 * When several threads meet the end of a chunk together each may ask the upstream for the next one.
 * One is installed; the others go straight back. At any instant the chunks held from the upstream
 * and neither in use nor kept by reset are at most one for each thread that is inside a call; when
 * no call is running there are none.
 *
 *
 * Tools
 * -----
 *
 * A library built with TSMBR_DEBUG aborts with one line that says what happened, where, and what to do, on: an
 * allocation while release, reset, reserve or destroy runs in another thread, and these at the same time; use
 * after destroy, destroying twice; a resource that was copied or moved; an explicit lane used by two threads at
 * once, after it was closed, or after a reset without being opened again; memory that is no block, to try_resize
 * and reallocate; a cleanup that releases its resource. Not every such mistake is seen in every run: where two
 * calls must meet, they may pass each other; and of what is passed as a block it is seen whether it lies in bytes
 * that are handed out now, not whose they are, so that for a pointer into a block, or to a block of before a reset
 * whose bytes are another's by now, AddressSanitizer and Valgrind are the tools (with TSMBR_NO_RECYCLE and
 * TSMBR_RED_ZONES).
 *
 * Built for AddressSanitizer or MemorySanitizer, or with TSMBR_VALGRIND, the library tells the tool which bytes of
 * chunks and callers' buffers are blocks: a block ends with tsmbr_deallocate, with reset and with release, and is
 * uninitialized when it begins. Reported are then
 *
 *   by AddressSanitizer   each access outside blocks, but in the eight bytes in which a block ends, or one that is
 *                         no more did; with TSMBR_RED_ZONES in these, too
 *   by memcheck           each access outside blocks, and a decision on bytes of a block that nobody has written
 *   by MemorySanitizer    a decision on bytes that nobody has written since they were no block's. Bounds it does
 *                         not know: a write is never reported, wherever it goes, and a read outside blocks only
 *                         where something is decided by it
 *
 * An overrun into the next block needs TSMBR_RED_ZONES to be outside blocks, and an access after a reset needs
 * TSMBR_NO_RECYCLE once its bytes are another block's; an upstream that grants the same memory again hides it all
 * the same. A resource over a caller's buffer must be destroyed then before the buffer is used for something else.
 *
 * In all these builds explicit lanes serve each block by a call. With TSMBR_DEBUG or TSMBR_VALGRIND a block costs
 * some 50 instructions more, in an explicit lane some 150; under a sanitizer or memcheck no more than malloc
 * and free cost there, in an explicit lane under memcheck somewhat more: docs/tools.md.
 */
#ifndef TSMBR_H
#define TSMBR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TSMBR_VERSION_MAJOR 0
#define TSMBR_VERSION_MINOR 1
#define TSMBR_VERSION_PATCH 0
/* One number that grows with every release: major * 10000 + minor * 100 + patch. */
#define TSMBR_VERSION (TSMBR_VERSION_MAJOR * 10000 + TSMBR_VERSION_MINOR * 100 + TSMBR_VERSION_PATCH)
#define TSMBR_VERSION_STRING "0.1.0"

/* Calls go where the loader says, not by way of a stub that jumps there: a jump less for each block. */
#if defined(__ELF__) && defined(__has_attribute)
#if __has_attribute(__noplt__)
#define TSMBR_DIRECT __attribute__((__noplt__))
#endif
#endif
#ifndef TSMBR_DIRECT
#define TSMBR_DIRECT
#endif

#if defined(_WIN32) && defined(TSMBR_BUILD_SHARED)
#define TSMBR_API __declspec(dllexport)
#elif defined(_WIN32) && defined(TSMBR_USE_SHARED)
#define TSMBR_API __declspec(dllimport)
#elif defined(__GNUC__)
#define TSMBR_API TSMBR_DIRECT __attribute__((__visibility__("default")))
#else
#define TSMBR_API
#endif

/* Hints to the compiler. Two that allocators often give would be wrong here: a block may be part of
 * the caller's own buffer, so it may alias, and it may grow in place, so its size is not fixed. */
#if defined(__GNUC__)
#define TSMBR_MUST_USE __attribute__((__warn_unused_result__))
#define TSMBR_ALIGNED_BY(position) __attribute__((__alloc_align__(position)))
#if defined(__MINGW32__) && !defined(__clang__) /* else it warns of what only Microsoft's printf does not know */
#define TSMBR_PRINTF(string, first) __attribute__((__format__(__gnu_printf__, string, first)))
#else
#define TSMBR_PRINTF(string, first) __attribute__((__format__(__printf__, string, first)))
#endif
#else
#define TSMBR_MUST_USE
#define TSMBR_ALIGNED_BY(position)
#define TSMBR_PRINTF(string, first)
#endif

#ifdef __cplusplus
#define TSMBR_INLINE inline /* one for the program: inline functions of the C++ header call it */
#define TSMBR_ALIGNOF(type) alignof(type)
#define TSMBR_CAST(type, value) static_cast<type>(value)
#define TSMBR_POINTER(type, value) static_cast<type *>(value) /* NOLINT(bugprone-macro-parentheses): a type */
#define TSMBR_ADDRESS(ptr) reinterpret_cast<uintptr_t>(ptr)
extern "C" {
#else
#define TSMBR_INLINE static inline
#define TSMBR_ALIGNOF(type) _Alignof(type)
#define TSMBR_CAST(type, value) ((type)(value))
#define TSMBR_POINTER(type, value) ((type *)(value))
#define TSMBR_ADDRESS(ptr) ((uintptr_t)(ptr))
#endif

/* ------------------------------------------------------------------------------- upstreams -- */

/* Where chunks come from.
 *
 * allocate returns `bytes` bytes aligned to `alignment`, or NULL. The library asks for chunks with
 * the alignment of max_align_t and places blocks by address, so memory less aligned than asked is
 * used correctly. deallocate gets the pointer, bytes and alignment of one successful allocate.
 *
 * Threads: both functions are called by any thread that uses the resource, several at once.
 * Neither may throw a C++ exception or longjmp out, be cancelled in, or move to another thread with its fiber;
 * the C++ header carries exceptions across. */
typedef struct tsmbr_upstream {
    void *(*allocate)(void *context, size_t bytes, size_t alignment);
    void (*deallocate)(void *context, void *ptr, size_t bytes, size_t alignment);
    void *context;
} tsmbr_upstream;

/* malloc and free; aligned allocation above the alignment of max_align_t. */
TSMBR_API const tsmbr_upstream *tsmbr_malloc_upstream(void);

/* Refuses every request: a resource over it serves its caller's buffer and nothing more. */
TSMBR_API const tsmbr_upstream *tsmbr_null_upstream(void);

/* The default: malloc below 2 MiB, mappings of the operating system's from there on. A mapping
 * begins at a multiple of 2 MiB, or of the alignment asked if that is more, so that it can have huge
 * pages, which make first writes to new memory cheaper; Linux is advised to use them. On Windows all of
 * it is malloc.
 *
 * Errors: NULL if there is no memory, or no address space, as under RLIMIT_AS and RLIMIT_DATA. Nothing stays
 * mapped then. If there is room for a mapping, but none to choose its place, it begins at any multiple of the
 * alignment asked.
 * errno is untouched on success. A process that has as many mappings as Linux allows may be unable to
 * give one back: its memory goes back then, its addresses do not.
 * Threads: any, at once. Progress: as malloc and the operating system: they take locks.
 * Cost: a mapping is rounded up to whole pages, and has a few calls of the operating system. Memory
 * is taken when it is first written to, on huge pages 2 MiB at a time. LeakSanitizer sees pointers
 * that are only in mappings if the library, too, is built with AddressSanitizer. */
TSMBR_API const tsmbr_upstream *tsmbr_system_upstream(void);

/* The system upstream, but every page of what it grants is written to before it returns, so that
 * the first writes of the program meet no page fault. For latency: the whole time is spent when a
 * chunk is asked for, also on pages that are never used. What one grants the other takes back.
 *
 * Errors: as the system upstream. Where there is address space but no memory for it, the operating
 * system may end the program here, as it would at a first write. The limit of a container, a memory cgroup's, is
 * of this kind: it makes no mapping fail, the kernel ends the program that passes it. To get NULL instead, give
 * the resource a `limit` that is smaller.
 * Threads: any, at once; the threads that meet the end of a chunk together may each prefault one.
 * Cost: linear in the bytes; on Linux 5.14 and later one call for a mapping, else one write a page.
 * The pages stay the kernel's to swap out; lock them with mlockall if that must not be. */
TSMBR_API const tsmbr_upstream *tsmbr_prefault_upstream(void);

/* For hardened builds: every chunk is a mapping of its own between two pages that nobody can touch, and
 * begins at a random place in its first page, as far as the alignment allows: 256 places for the chunks
 * of a resource on pages of 4 KiB. A write that runs over the end of the last page, or under the first
 * one, and a use after release end the program instead of changing other memory. What happens between
 * the pages is not watched: neighbouring blocks, and the record at a chunk's end, are in reach of an overrun;
 * docs/security.md has the rest. On Windows it is malloc.
 *
 * Errors: NULL with ENOMEM if there is no memory, no address space, or no mapping to be had. Nothing
 * stays mapped then. errno is untouched on success. If the system has no random numbers the place is chosen
 * by the clock and the stack's address, which an attacker may guess.
 * Threads: any, at once. Progress: as the operating system's mappings, which take locks.
 * Cost: up to a page of memory and two of address space more for each chunk, four calls of the operating system in
 * its life; pages come one fault at a time. Linux allows a process some 65,000 mappings, of which a chunk
 * takes two or three. A limit counts the bytes asked for, not the pages. */
TSMBR_API const tsmbr_upstream *tsmbr_guarded_upstream(void);

/* ---------------------------------------------------------------------------- construction -- */

/* Threads have no lanes: each block is taken by a compare-and-swap. Blocks lie in the order in which they were
 * taken, with nothing between them but padding. For tightest packing by many threads in a small buffer; the slower
 * one where several threads allocate often. An explicit lane, whoever opens one, takes its runs here, too. */
#define TSMBR_SHARED_ONLY 1u

/* tsmbr_reset keeps nothing: it is tsmbr_release. So a pointer from before a reset points to memory that
 * went back to the upstream, where tools can tell. A caller's buffer is served again all the same; and the default
 * upstream, which has large chunks mapped, may get the same addresses again, tsmbr_malloc_upstream under
 * AddressSanitizer or Valgrind not so soon. */
#define TSMBR_NO_RECYCLE 2u

/* In a library built for AddressSanitizer, MemorySanitizer or Valgrind, bytes behind each block that belong to
 * nobody. So AddressSanitizer and memcheck report the first byte of an overrun that would reach the next block;
 * MemorySanitizer reports a decision on what was read there. Blocks take some 20 bytes more. Otherwise nothing. */
#define TSMBR_RED_ZONES 4u

/* What to build a resource from. Zero in a field asks for its default. A later version may add
 * fields behind `flags`; it reads them only if a flag bit that this version refuses says so. */
typedef struct tsmbr_config {
    const tsmbr_upstream *upstream; /* NULL: tsmbr_system_upstream(). Not copied: it must outlive
                                       the resource. */
    size_t initial_size;            /* bytes the first upstream chunk should serve; 0: about 2 KiB, or
                                       as much as the buffer. A hint: if the upstream refuses it,
                                       requests still get what they need. */
    void *buffer;                   /* caller's storage, any alignment, served before the upstream,
                                       to the last byte; it must outlive the resource. */
    size_t buffer_size;             /* bytes in buffer; 0 with a buffer: no buffer */
    size_t limit;                   /* most bytes ever held from the upstream at once, exact under
                                       races; 0: no limit. The buffer does not count. */
    unsigned flags;                 /* TSMBR_SHARED_ONLY | TSMBR_NO_RECYCLE | TSMBR_RED_ZONES, or 0 */
} tsmbr_config;

/* A resource. Put it where the program likes, and leave it there: after init, or after its first use if it began
 * as zeros, it must not be copied or moved. Zeros are a resource that tsmbr_init made from NULL. What is inside is
 * the library's. */
typedef struct tsmbr_resource {
    union {
        unsigned char bytes[512];
        void *pointer_alignment;
        size_t size_alignment;
    } opaque;
} tsmbr_resource;

/* Static initializer, for those who prefer a name to = {0}. */
/* clang-format off */
#define TSMBR_RESOURCE_INIT {{{0}}}
/* clang-format on */

/* Make a resource; a NULL config asks for every default. Calls no upstream.
 *
 * Returns 0, or EINVAL (also in errno) if `resource` is NULL, if the config has a buffer_size
 * without a buffer, a flag this version does not know, an upstream with a missing function, or a
 * buffer that runs past the end of the address space. After EINVAL `*resource` is a valid resource
 * with every default. */
TSMBR_API int tsmbr_init(tsmbr_resource *resource, const tsmbr_config *config);

/* Release, and leave all-zero bytes behind, or, with TSMBR_DEBUG, the mark of a resource that must not be used
 * before tsmbr_init. NULL is ignored.
 * Threads: all others out, see the grid. */
TSMBR_API void tsmbr_destroy(tsmbr_resource *resource);

/* The upstream the resource was made with, or the default one. Any thread. */
TSMBR_API const tsmbr_upstream *tsmbr_upstream_resource(const tsmbr_resource *resource);

/* ------------------------------------------------------------------------------ allocation -- */

/* A block of `bytes` bytes at a multiple of `alignment`, which may be any power of two. Its
 * contents are unspecified. Zero bytes count as one: no two live blocks share an address.
 *
 * Returns the block, or NULL: see Errors above.
 * Threads: any, at once.
 * Progress: wait-free where this thread's lane has room; else lock-free, the upstream and a first lane aside.
 * Ordering: none. Pass the pointer to another thread by the program's own synchronization.
 * Cost: with room in the lane, a look at thread-local words, which is a call of the system's on Windows and in a
 * shared library over another C library than GNU's, align, compare, store, no atomic read-modify-write; else one
 * compare-and-swap, which serves up to some thousand blocks to come, with the lane's first perhaps an addition; at
 * a chunk's end one upstream call and one more compare-and-swap. A request that would take over a quarter of the
 * next chunk gets a chunk of its own, and the current one, if there is one, stays; after reset, one of the kept
 * chunks, found in time linear in the number of those. */
TSMBR_API TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_allocate(tsmbr_resource *resource, size_t bytes,
                                                                  size_t alignment);

/* The same from memory already held: NULL where tsmbr_allocate would go upstream. Leaves errno alone.
 *
 * Progress: wait-free where the lane has room; else lock-free, on Windows but for a thread's first call.
 * Gives no thread its first lane. Async-signal-safe, see Signal handlers above. */
TSMBR_API TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_try_allocate(tsmbr_resource *resource, size_t bytes,
                                                                      size_t alignment);

/* tsmbr_allocate, but a chunk that this call needs is asked of `upstream`, and the chunk of a lost
 * race goes back to it, too. For wrappers that carry something through a call: an exception, a
 * memory node, a tag. release returns all chunks to the resource's own upstream, so the two must
 * be interchangeable. With a NULL upstream, from memory already held only. */
TSMBR_API TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_allocate_from(tsmbr_resource *resource, size_t bytes,
                                                                       size_t alignment,
                                                                       const tsmbr_upstream *upstream);

/* For wrappers in other languages: a resource, for all calls but tsmbr_allocate_or_call as any other, and whom to
 * ask where it has no room: a function, never NULL, and what it is passed. Set both before the first such call,
 * and not while another thread may be in one; no other call looks at them or changes them. They are no arguments
 * of the call, as its fast path would have to save registers for these. */
typedef void *tsmbr_fallback(void *context, size_t bytes, size_t alignment);
typedef struct tsmbr_wrapped {
    tsmbr_resource resource;
    tsmbr_fallback *otherwise;
    void *context;
} tsmbr_wrapped;

/* tsmbr_allocate from memory already held; where there is none, or for an alignment that is none, whatever
 * otherwise(context, bytes, alignment) returns, which may go upstream by another call. Leaves errno alone. That
 * call is the last thing that happens, so an exception may pass. */
TSMBR_API TSMBR_MUST_USE void *tsmbr_allocate_or_call(tsmbr_wrapped *wrapped, size_t bytes, size_t alignment);

/* count * size bytes, the product checked. */
TSMBR_API TSMBR_MUST_USE TSMBR_ALIGNED_BY(4) void *tsmbr_allocate_array(tsmbr_resource *resource, size_t count,
                                                                        size_t size, size_t alignment);

/* Does nothing: a monotonic resource frees all blocks together. Any thread. */
TSMBR_API void tsmbr_deallocate(tsmbr_resource *resource, void *ptr, size_t bytes, size_t alignment);

/* Uninitialized storage for one object, or `count` of them, typed. */
#define tsmbr_new(resource, type)                                                                                 \
    TSMBR_POINTER(type, tsmbr_allocate((resource), sizeof(type), TSMBR_ALIGNOF(type)))
#define tsmbr_new_array(resource, type, count)                                                                    \
    TSMBR_POINTER(type, tsmbr_allocate_array((resource), (count), sizeof(type), TSMBR_ALIGNOF(type)))

/* Change a block's size without moving it. `old_bytes` is its present size.
 *
 * Returns true if the block now has new_bytes bytes: always when it does not grow; when it grows,
 * only if it is the last block of this thread's lane or of the current chunk, with room behind it. The
 * bytes given up by shrinking are handed out again only if the block was the last one. False for a NULL ptr.
 * Threads: the block's owner. Progress: wait-free.
 * Ordering: what the owner did with given-up bytes happens before their next owner gets them. */
TSMBR_API bool tsmbr_try_resize(tsmbr_resource *resource, void *ptr, size_t old_bytes, size_t new_bytes);

/* In place if that is possible, otherwise a new block with the first min(old, new) bytes copied.
 * The old block is then garbage, and counts as allocated until release. A NULL ptr allocates.
 *
 * Returns the block, or NULL with errno set and the old block untouched. */
TSMBR_API void *tsmbr_reallocate(tsmbr_resource *resource, void *ptr, size_t old_bytes, size_t new_bytes,
                                 size_t alignment);

/* Whether ptr points into memory this resource has handed out since the last release or reset, or has
 * set aside for a lane.
 * Any thread that got ptr by proper synchronization. Cost: linear in the number of chunks. */
TSMBR_API bool tsmbr_owns(const tsmbr_resource *resource, const void *ptr);

/* ------------------------------------------------------------------------- whole lifetimes -- */

/* Give every chunk back to the upstream and return to the constructed state: caller's buffer empty
 * again, first chunk size as at first. Runs the cleanups first.
 * Threads: all others out, see the grid. All blocks end here. */
TSMBR_API void tsmbr_release(tsmbr_resource *resource);

/* Forget all blocks but keep chunks for reuse, those that add up to at most `keep_bytes` bytes, the
 * oldest first, chunks of large blocks last; SIZE_MAX keeps all, 0 is release. With all kept, no
 * limit and an upstream that refuses nothing, the same calls in the same order get the same blocks
 * again and ask the upstream for nothing. Runs the cleanups first.
 *
 * A resource that was told no initial_size has grown by many chunks, small ones first, and each round goes through
 * them all again. Two threads have that faster in one chunk. Where there are more and neither a limit nor a
 * caller's buffer, this makes one of them, in place of a reset:
 *
 *     tsmbr_release(resource);
 *     tsmbr_reserve(resource, statistics.reserved_bytes); // as they were before the release
 *
 * Threads: all others out, see the grid. All blocks end here. */
TSMBR_API void tsmbr_reset(tsmbr_resource *resource, size_t keep_bytes);

/* See to it that some chunk has room for `bytes` bytes without padding, now rather than when they are needed:
 * if none has, a chunk is obtained and used after the present ones, of that size and 127 bytes more, and 4224 for
 * the tables of lanes where threads have them: an eleventh of the size, if that is less. For the time before a
 * deadline, or between two frames. With tsmbr_prefault_upstream its pages are there, too. Until that chunk is the
 * current one, a request of more than 4 MiB, or of more than a quarter of it, may get a chunk of its own.
 *
 * Returns 0, or ENOMEM (also in errno) if the upstream refused or the limit would be exceeded; nothing has
 * changed then. The chunk is kept or given back by reset and release like any other.
 * Threads: all others out, see the grid. Cost: one upstream call, and time linear in the chunks kept. */
TSMBR_API int tsmbr_reserve(tsmbr_resource *resource, size_t bytes);

/* Have cleanup(argument) called at the next release, reset or destroy, latest registered first,
 * while all blocks are still there. A cleanup may use the resource, also to register another one,
 * which then runs in the same release; it must not release it.
 *
 * Returns 0, or an errno value (also in errno): EINVAL for a NULL function, ENOMEM.
 * Threads: any, at once. Progress: as tsmbr_allocate, which provides the record.
 * Ordering: what happened before the registration is visible to the cleanup. */
TSMBR_API int tsmbr_on_release(tsmbr_resource *resource, void (*cleanup)(void *), void *argument);

/* ----------------------------------------------------------------------------------- lanes -- */

/* A lane in the caller's hands: a run of bytes that only its holder hands out, for tasks, fibers and
 * inner loops. The shortest way to a block there is: no thread-local lookup, no atomic, inline.
 *
 *     tsmbr_lane lane;
 *     tsmbr_lane_open(&lane, &arena);
 *     for (...)
 *         node = tsmbr_lane_allocate(&lane, sizeof *node, _Alignof(struct node));
 *     tsmbr_lane_close(&lane);
 *
 * Threads: one at a time; it may be passed from thread to thread, or between fibers, by the program's
 * own synchronization. Any number of lanes may be open on one resource. Not for a signal handler that
 * interrupts a call on the same lane.
 * Blocks of a lane are blocks of its resource and live as long. release and reset end all lanes: open
 * them again before the next use. Closing a lane is no duty, but gives back what it did not use. */
typedef struct tsmbr_lane {
    unsigned char *cursor; /* private: the next byte to hand out */
    unsigned char *end;
    size_t next_bytes;
    tsmbr_resource *resource;
    size_t tools[3]; /* for libraries built for tools, or with TSMBR_DEBUG */
} tsmbr_lane;

/* This version has lanes. */
#define TSMBR_HAS_LANES 1

/* An empty lane on a resource; calls no upstream. */
TSMBR_API void tsmbr_lane_open(tsmbr_lane *lane, tsmbr_resource *resource);

/* Give the lane's unused bytes back if they still are the last of the current chunk; otherwise they are
 * lost until release and count as wasted. The lane is empty then and has no resource. */
TSMBR_API void tsmbr_lane_close(tsmbr_lane *lane);

/* For the two functions below: a block where the lane has no room for it, and room for more in the lane,
 * from memory already held; or the same from the upstream, if need be. */
TSMBR_API TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_lane_refill(tsmbr_lane *lane, size_t bytes,
                                                                     size_t alignment);
TSMBR_API TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_lane_extend(tsmbr_lane *lane, size_t bytes,
                                                                     size_t alignment);

/* For the two functions below: a block from the lane's own bytes. False with nothing changed if they might be too
 * few, for zero bytes, which count as one, and for an alignment that is none: those go the long way. */
TSMBR_INLINE TSMBR_MUST_USE bool tsmbr_lane_bump(tsmbr_lane *lane, size_t bytes, size_t alignment, void **block)
{
    unsigned char *cursor = lane->cursor;
    size_t room = TSMBR_CAST(size_t, lane->end - cursor);
    size_t most = alignment - 1; /* padding */
    unsigned char *at;
    if (most >= room || bytes - 1 >= room - most || (alignment & most) != 0)
        return false;
    at = cursor + (((TSMBR_ADDRESS(cursor) + most) & ~most) - TSMBR_ADDRESS(cursor));
    *block = at;
    lane->cursor = at + bytes;
    return true;
}

/* tsmbr_try_allocate from the lane: NULL where an upstream would be asked. Leaves errno alone. */
TSMBR_INLINE TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_lane_try_allocate(tsmbr_lane *lane, size_t bytes,
                                                                              size_t alignment)
{
    void *block;
    return tsmbr_lane_bump(lane, bytes, alignment, &block) ? block : tsmbr_lane_refill(lane, bytes, alignment);
}

/* tsmbr_allocate from the lane. Errors as there.
 * Progress: wait-free while the lane has room; else as tsmbr_allocate.
 * Cost: align, compare, store; a compare-and-swap for up to some thousand blocks, with the first perhaps an
 * addition. */
TSMBR_INLINE TSMBR_MUST_USE TSMBR_ALIGNED_BY(3) void *tsmbr_lane_allocate(tsmbr_lane *lane, size_t bytes,
                                                                          size_t alignment)
{
    void *block;
    return tsmbr_lane_bump(lane, bytes, alignment, &block) ? block : tsmbr_lane_extend(lane, bytes, alignment);
}

/* ------------------------------------------------------------------------------ statistics -- */

typedef struct tsmbr_statistics {
    size_t allocated_bytes;     /* bytes handed out since release or reset, padding included; not those that
                                   threads' lanes hold ready, but those of open explicit lanes */
    size_t reserved_bytes;      /* bytes held from the upstream now */
    size_t peak_reserved_bytes; /* the most of that since init; what is surplus for a moment, see
                                   above, is in neither; never above the limit */
    size_t chunks;              /* chunks in use or kept, from the upstream */
    size_t lost_races;          /* compare-and-swaps on chunks and lists lost to another
                                   thread since init */
    size_t wasted_bytes;        /* ends of chunks left behind, to be used only when nothing
                                   else is to be had, and what lanes gave up */
} tsmbr_statistics;

/* Any thread, while others allocate. Exact when no other call runs; while they do, each chunk's part
 * of a sum is read at some instant of the call, and allocated_bytes may fall for a moment while a thread's lane
 * gets a new run, which with TSMBR_SHARED_ONLY it does not. It falls, too, where a block at the end gives bytes
 * up, or an explicit lane what it did not use. Cost: linear in the number of chunks and of lanes. */
TSMBR_API void tsmbr_get_statistics(const tsmbr_resource *resource, tsmbr_statistics *statistics);

/* --------------------------------------------------------------------------------- helpers -- */

/* Copies and formatted text, all from the allocate family and under its rules. Their blocks are
 * aligned for any type, those of text to one byte. NULL with EINVAL for a NULL source, but
 * tsmbr_memdup takes NULL with 0 bytes. */
TSMBR_API TSMBR_MUST_USE void *tsmbr_calloc(tsmbr_resource *resource, size_t count, size_t size); /* zeroed */
TSMBR_API TSMBR_MUST_USE void *tsmbr_memdup(tsmbr_resource *resource, const void *source, size_t bytes);
TSMBR_API TSMBR_MUST_USE char *tsmbr_strdup(tsmbr_resource *resource, const char *text);
TSMBR_API TSMBR_MUST_USE char *tsmbr_strndup(tsmbr_resource *resource, const char *text, size_t most_bytes);
TSMBR_API TSMBR_MUST_USE char *tsmbr_printf(tsmbr_resource *resource, const char *format, ...) TSMBR_PRINTF(2, 3);
TSMBR_API TSMBR_MUST_USE char *tsmbr_vprintf(tsmbr_resource *resource, const char *format, va_list arguments)
    TSMBR_PRINTF(2, 0);

/* TSMBR_VERSION of the library that is linked, as opposed to this header's. */
TSMBR_API int tsmbr_version(void);

#ifdef __cplusplus
}
#endif

#endif
