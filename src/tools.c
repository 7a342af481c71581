/* tools.c - the public functions, where a tool or a debug build is to see what the core does.
 *
 *    tsmbr_allocate --- begin --- core --- hand_out --- end
 *                         |                   |          |
 *          is the resource alive,       the block's    did a release come
 *          at peace, where it was?      bytes are the  in between?
 *                                       caller's now
 *
 * What is poisoned. AddressSanitizer keeps one byte of shadow for eight of memory, and threads write the shadow of
 * their blocks without a lock. So only whole groups of eight are ever poisoned, and a group that a block begins or
 * ends in becomes accessible as a whole: every writer writes the same zero. With TSMBR_RED_ZONES no two
 * blocks share a group, and the last one is exact.
 *
 * An explicit lane is served by code inlined into the program, which no tool is to miss. So its end is kept aside
 * here, and the program sees a lane without room.
 *
 * The atomics are all relaxed: they look for races and must not order what they look at. */
#include "tools.h"

#ifdef TSMBR_TOOLS

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane.h"
#include "resource.h"

#if defined(TSMBR_ASAN)
#include <sanitizer/asan_interface.h>
#define ASAN_POISON(memory, bytes) __asan_poison_memory_region(memory, bytes)
#define ASAN_UNPOISON(memory, bytes) __asan_unpoison_memory_region(memory, bytes)
#else
#define ASAN_POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif
#if defined(TSMBR_MSAN)
#include <sanitizer/msan_interface.h>
#define MSAN_POISON(memory, bytes) __msan_poison(memory, bytes)
#else
#define MSAN_POISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif
#if defined(TSMBR_VALGRIND)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_NOACCESS(memory, bytes) ((void)(memory), (void)(bytes))
#define VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes) ((void)(memory), (void)(bytes))
#define VALGRIND_CREATE_MEMPOOL(pool, zone, zeroed) ((void)(pool))
#define VALGRIND_DESTROY_MEMPOOL(pool) ((void)(pool))
#define VALGRIND_MEMPOOL_ALLOC(pool, block, bytes) ((void)(pool), (void)(block), (void)(bytes))
#define VALGRIND_MEMPOOL_FREE(pool, block) ((void)(pool), (void)(block))
#define VALGRIND_MEMPOOL_CHANGE(pool, old, block, bytes) ((void)(pool), (void)(old), (void)(block), (void)(bytes))
#endif

#if defined(TSMBR_ASAN) || defined(TSMBR_MSAN) || defined(TSMBR_VALGRIND)
#define ZONES true
#else
#define ZONES false
#endif
#if defined(TSMBR_VALGRIND)
#define POOLS true
#else
#define POOLS false
#endif
#if defined(TSMBR_DEBUG)
#define CHECKS true
#else
#define CHECKS false
#endif

enum { GROUP = 8, ZONE = 16 };

/* In the last bytes of a resource. All-zero is that of one which nobody has used. */
typedef struct watch_words {
    _Atomic(uintptr_t) home;       /* the resource's address since init or its first use; GONE: destroyed */
    _Atomic(const char *) closing; /* the function that needs all other threads out, while it runs */
    _Atomic(uintptr_t) closer;     /* the thread that runs it */
    _Atomic(uintptr_t) closings;   /* changes with every such call */
    _Atomic(uintptr_t) endings;    /* changes when all blocks end */
    _Atomic(bool) pooled;          /* Valgrind knows of the pool */
} watch_words;

_Static_assert(sizeof(resource) + sizeof(watch_words) <= sizeof(tsmbr_resource), "there is room for both");

#define GONE ((uintptr_t)0xdead)

/* No two of these are equal, so that those of a resource made anew differ from those before. */
static _Atomic(uintptr_t) last_change;

static uintptr_t next_change(void)
{
    return atomic_fetch_add_explicit(&last_change, 1, memory_order_relaxed) + 1;
}

static watch_words *words_of(const tsmbr_resource *self)
{
    unsigned char *end = ((tsmbr_resource *)self)->opaque.bytes + sizeof self->opaque.bytes;
    return (watch_words *)(void *)(end - sizeof(watch_words));
}

/* ----------------------------------------------------------------------------------- poison -- */

static size_t group_down(size_t bytes)
{
    return bytes & ~(size_t)(GROUP - 1);
}

/* Bytes that are no block's. Of groups only whole ones. */
static void poison(const void *memory, size_t bytes)
{
    size_t skip = (0 - (size_t)(uintptr_t)memory) & (GROUP - 1);
    if (bytes > skip)
        ASAN_POISON((const unsigned char *)memory + skip, group_down(bytes - skip));
    MSAN_POISON(memory, bytes);
    VALGRIND_MAKE_MEM_NOACCESS(memory, bytes);
}

/* Bytes of a block, not yet written: MemorySanitizer has known that since they were poisoned. */
static void make_undefined(const void *memory, size_t bytes)
{
    size_t before = (size_t)(uintptr_t)memory & (GROUP - 1);
    ASAN_UNPOISON((const unsigned char *)memory - before, group_down(before + bytes + (GROUP - 1)));
    VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
}

void tsmbr_tools_empty(const void *memory, size_t bytes)
{
    poison(memory, bytes);
}

void tsmbr_tools_give_back(const void *memory, size_t bytes)
{
    ASAN_UNPOISON(memory, bytes);
    VALGRIND_MAKE_MEM_UNDEFINED(memory, bytes);
}

void tsmbr_tools_own_block(const void *block, size_t bytes)
{
    make_undefined(block, bytes);
}

void tsmbr_tools_blocks_end(const tsmbr_resource *self)
{
    if (POOLS && atomic_exchange_explicit(&words_of(self)->pooled, false, memory_order_relaxed))
        VALGRIND_DESTROY_MEMPOOL(self);
}

/* -------------------------------------------------------------------------------- red zones -- */

static bool has_zones(const tsmbr_resource *self)
{
    return ZONES && (resource_of_const(self)->flags & TSMBR_RED_ZONES) != 0;
}

/* What a block takes: with a zone behind it, and groups of its own. A size that has no room for that is
 * refused by the core as it is. */
static size_t zoned(const tsmbr_resource *self, size_t bytes)
{
    if (!has_zones(self) || bytes > SIZE_MAX - GROUP - ZONE)
        return bytes;
    return group_down(place_bytes(bytes) + (GROUP - 1)) + ZONE;
}

static size_t zoned_alignment(const tsmbr_resource *self, size_t alignment)
{
    return has_zones(self) && place_alignment_ok(alignment) && alignment < GROUP ? GROUP : alignment;
}

/* What a block takes and does not have belongs to nobody. It has no group in common with another, so this one is
 * exact. The other tools know single bytes, and have known these since they were poisoned. */
static void poison_zone(const tsmbr_resource *self, const unsigned char *block, size_t bytes)
{
    if (has_zones(self))
        ASAN_POISON(block + bytes, zoned(self, bytes) - bytes);
}

/* The block as the caller is to have it. */
static void *hand_out(const tsmbr_resource *self, void *block, size_t bytes)
{
    if (block == NULL)
        return NULL;
    bytes = place_bytes(bytes);
    make_undefined(block, bytes);
    poison_zone(self, block, bytes);
    if (POOLS && !atomic_exchange_explicit(&words_of(self)->pooled, true, memory_order_relaxed))
        VALGRIND_CREATE_MEMPOOL(self, 0, 0);
    VALGRIND_MEMPOOL_ALLOC(self, block, bytes);
    return block;
}

/* ----------------------------------------------------------------------------------- misuse -- */

enum { MESSAGE = 256 };

/* One line: what happened, where, and what to do. */
static _Noreturn void die(const char *function, const void *where, const char *what)
{
    (void)fprintf(stderr, "tsmbr: %s(%p): %s\n", function, where, what);
    abort();
}

static uintptr_t this_thread(void)
{
    return (uintptr_t)TSMBR_THREAD;
}

static void check_alive(const tsmbr_resource *self, const char *function)
{
    watch_words *w = words_of(self);
    uintptr_t home = atomic_load_explicit(&w->home, memory_order_relaxed);
    if (home == GONE)
        die(function, self, "the resource was destroyed; call tsmbr_init before it is used again");
    if (home == 0)
        atomic_store_explicit(&w->home, (uintptr_t)self, memory_order_relaxed);
    else if (home != (uintptr_t)self)
        die(function, self,
            "the resource was copied or moved after tsmbr_init or its first use; leave it where it is and pass a "
            "pointer");
}

static void check_open(const tsmbr_resource *self, const char *function)
{
    watch_words *w = words_of(self);
    const char *closing = atomic_load_explicit(&w->closing, memory_order_relaxed);
    if (closing == NULL || atomic_load_explicit(&w->closer, memory_order_relaxed) == this_thread())
        return;
    char what[MESSAGE];
    (void)snprintf(what, sizeof what,
                   "%s of the same resource runs in another thread; let all calls end before it", closing);
    die(function, self, what);
}

static uintptr_t closings_of(const tsmbr_resource *self)
{
    return atomic_load_explicit(&words_of(self)->closings, memory_order_relaxed);
}

static uintptr_t endings_of(const tsmbr_resource *self)
{
    return atomic_load_explicit(&words_of(self)->endings, memory_order_relaxed);
}

/* Of a call that may run together with others: the last closing. */
static uintptr_t begin(const tsmbr_resource *self, const char *function)
{
    if (!CHECKS)
        return 0;
    check_alive(self, function);
    check_open(self, function);
    return closings_of(self);
}

static void end(const tsmbr_resource *self, const char *function, uintptr_t closings)
{
    if (!CHECKS)
        return;
    check_open(self, function);
    if (closings_of(self) != closings)
        die(function, self,
            "the same resource was released, reset, reserved or destroyed during this call; "
            "let all calls end before that");
}

void tsmbr_tools_call(const tsmbr_resource *self, const char *function)
{
    (void)begin(self, function);
}

/* Of a call that needs all other threads out. Cleanups may use the resource meanwhile, but not end it. */
static void close_begin(const tsmbr_resource *self, const char *function)
{
    if (!CHECKS)
        return;
    watch_words *w = words_of(self);
    check_alive(self, function);
    const char *closing = atomic_exchange_explicit(&w->closing, function, memory_order_relaxed);
    if (closing != NULL) {
        atomic_store_explicit(&w->closing, closing, memory_order_relaxed);
        check_open(self, function);
        die(function, self,
            "a cleanup must not end the resource whose cleanup it is; leave that to the call that runs it");
    }
    atomic_store_explicit(&w->closer, this_thread(), memory_order_relaxed);
}

static void close_end(const tsmbr_resource *self, bool blocks_ended)
{
    if (!CHECKS)
        return;
    watch_words *w = words_of(self);
    uintptr_t change = next_change();
    if (blocks_ended)
        atomic_store_explicit(&w->endings, change, memory_order_relaxed);
    atomic_store_explicit(&w->closings, change, memory_order_relaxed);
    /* Or this thread would pass for the one that ends it next, until that has said who it is. */
    atomic_store_explicit(&w->closer, 0, memory_order_relaxed);
    atomic_store_explicit(&w->closing, NULL, memory_order_relaxed);
}

/* Whether the block was handed out since the last release or reset, as far as can be seen. */
static void check_block(tsmbr_resource *self, const unsigned char *ptr, size_t bytes, const char *function)
{
    if (!CHECKS || ptr == NULL)
        return;
    const resource *r = resource_of(self);
    size_t taken = zoned(self, place_bytes(bytes));
    bool found = false;
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL && !found; walk_on(&w))
        found = chunk_owns(w.c, ptr) && taken <= next_load_relaxed(w.c) - ((uintptr_t)ptr - chunk_base(w.c));
    thread_state *thread = TSMBR_THREAD;
    const lane *l = lane_mine(r, thread);
    if (l != NULL) {
        thread_enter(thread); /* a handler might give the lane another run between the two loads */
        if ((uintptr_t)ptr < (uintptr_t)lane_end_load_relaxed(l) &&
            (uintptr_t)ptr + taken > (uintptr_t)lane_cursor_load_relaxed(l))
            found = false;
        thread_leave(thread);
    }
    if (found)
        return;
    char what[MESSAGE];
    (void)snprintf(
        what, sizeof what,
        "%zu bytes at %p are no block that the resource has handed out since its last release or reset; "
        "pass a block of its own with its present size",
        bytes, (const void *)ptr);
    die(function, self, what);
}

/* ---------------------------------------------------------------------------- explicit lanes -- */

/* The words of a lane that are for tools: */
enum { LANE_END, LANE_USERS, LANE_ENDINGS };

static _Atomic(size_t) *lane_users(tsmbr_lane *run)
{
    return (_Atomic(size_t) *)(void *)&run->tools[LANE_USERS];
}

/* With its end, as the core is to see it. */
static void lane_enter(tsmbr_lane *run, const char *function)
{
    if (CHECKS) {
        if (run->resource == NULL)
            die(function, run, "the lane is not open; call tsmbr_lane_open");
        if (atomic_exchange_explicit(lane_users(run), 1, memory_order_relaxed) != 0)
            die(function, run,
                "the lane is used by two threads at once, or by a handler that interrupts its user; give each its "
                "own");
        if (run->tools[LANE_ENDINGS] != endings_of(run->resource))
            die(function, run,
                "its resource was released or reset since the lane was opened; call tsmbr_lane_open again");
    }
    run->end = run->tools[LANE_END] != 0 ? run->cursor + run->tools[LANE_END] : run->cursor;
}

/* Without it, as the program is to see it. */
static void lane_leave(tsmbr_lane *run)
{
    run->tools[LANE_END] = (size_t)(run->end - run->cursor);
    run->end = run->cursor;
    atomic_store_explicit(lane_users(run), 0, memory_order_relaxed);
}

void tsmbr_lane_open(tsmbr_lane *run, tsmbr_resource *self)
{
    (void)begin(self, "tsmbr_lane_open");
    CORE(tsmbr_lane_open)(run, self);
    run->tools[LANE_ENDINGS] = endings_of(self);
}

void tsmbr_lane_close(tsmbr_lane *run)
{
    if (run->resource == NULL)
        return;
    tsmbr_resource *self = run->resource;
    uintptr_t closings = begin(self, "tsmbr_lane_close");
    lane_enter(run, "tsmbr_lane_close");
    poison(run->cursor, (size_t)(run->end - run->cursor));
    CORE(tsmbr_lane_close)(run);
    end(self, "tsmbr_lane_close", closings);
}

static void *lane_serve(tsmbr_lane *run, size_t bytes, size_t alignment, const char *function,
                        void *core(tsmbr_lane *, size_t, size_t))
{
    tsmbr_resource *self = run->resource;
    uintptr_t closings = self != NULL ? begin(self, function) : 0;
    lane_enter(run, function);
    void *block = core(run, zoned(self, bytes), zoned_alignment(self, alignment));
    lane_leave(run);
    end(self, function, closings);
    return hand_out(self, block, bytes);
}

void *tsmbr_lane_refill(tsmbr_lane *run, size_t bytes, size_t alignment)
{
    return lane_serve(run, bytes, alignment, "tsmbr_lane_try_allocate", CORE(tsmbr_lane_refill));
}

void *tsmbr_lane_extend(tsmbr_lane *run, size_t bytes, size_t alignment)
{
    return lane_serve(run, bytes, alignment, "tsmbr_lane_allocate", CORE(tsmbr_lane_extend));
}

/* -------------------------------------------------------------------------------- lifetimes -- */

int tsmbr_init(tsmbr_resource *self, const tsmbr_config *config)
{
    int error = CORE(tsmbr_init)(self, config);
    if (error == 0 && config != NULL && config->buffer != NULL)
        poison(config->buffer, config->buffer_size);
    if (CHECKS && self != NULL) {
        uintptr_t change = next_change();
        atomic_store_explicit(&words_of(self)->home, (uintptr_t)self, memory_order_relaxed);
        atomic_store_explicit(&words_of(self)->endings, change, memory_order_relaxed);
        atomic_store_explicit(&words_of(self)->closings, change, memory_order_relaxed);
    }
    return error;
}

void tsmbr_reset(tsmbr_resource *self, size_t keep_bytes)
{
    close_begin(self, "tsmbr_reset");
    CORE(tsmbr_reset)(self, keep_bytes);
    close_end(self, true);
}

void tsmbr_release(tsmbr_resource *self)
{
    close_begin(self, "tsmbr_release");
    CORE(tsmbr_release)(self);
    close_end(self, true);
}

void tsmbr_destroy(tsmbr_resource *self)
{
    if (self == NULL)
        return;
    close_begin(self, "tsmbr_destroy");
    const void *buffer = resource_of(self)->buffer.allocation_ptr;
    size_t buffer_size = resource_of(self)->buffer.capacity;
    CORE(tsmbr_destroy)(self);
    if (buffer != NULL)
        tsmbr_tools_give_back(buffer, buffer_size);
    if (CHECKS) {
        atomic_store_explicit(&words_of(self)->closings, next_change(), memory_order_relaxed);
        atomic_store_explicit(&words_of(self)->home, GONE, memory_order_relaxed);
    }
}

int tsmbr_reserve(tsmbr_resource *self, size_t bytes)
{
    close_begin(self, "tsmbr_reserve");
    int error = CORE(tsmbr_reserve)(self, bytes);
    close_end(self, false);
    return error;
}

/* ------------------------------------------------------------------------------- allocation -- */

void *tsmbr_allocate(tsmbr_resource *self, size_t bytes, size_t alignment)
{
    uintptr_t closings = begin(self, "tsmbr_allocate");
    void *block = CORE(tsmbr_allocate)(self, zoned(self, bytes), zoned_alignment(self, alignment));
    end(self, "tsmbr_allocate", closings);
    return hand_out(self, block, bytes);
}

void *tsmbr_try_allocate(tsmbr_resource *self, size_t bytes, size_t alignment)
{
    uintptr_t closings = begin(self, "tsmbr_try_allocate");
    void *block = CORE(tsmbr_try_allocate)(self, zoned(self, bytes), zoned_alignment(self, alignment));
    end(self, "tsmbr_try_allocate", closings);
    return hand_out(self, block, bytes);
}

void *tsmbr_allocate_from(tsmbr_resource *self, size_t bytes, size_t alignment, const tsmbr_upstream *upstream)
{
    uintptr_t closings = begin(self, "tsmbr_allocate_from");
    void *block = CORE(tsmbr_allocate_from)(self, zoned(self, bytes), zoned_alignment(self, alignment), upstream);
    end(self, "tsmbr_allocate_from", closings);
    return hand_out(self, block, bytes);
}

/* What the fallback returns has been handed out by another call. */
void *tsmbr_allocate_or_call(tsmbr_wrapped *self, size_t bytes, size_t alignment)
{
    tsmbr_resource *r = &self->resource;
    uintptr_t closings = begin(r, "tsmbr_allocate_or_call");
    if (CHECKS && self->otherwise == NULL)
        die("tsmbr_allocate_or_call", self, "there is no fallback; set otherwise before the first call");
    void *block = CORE(tsmbr_allocate_or_call)(self, zoned(r, bytes), zoned_alignment(r, alignment));
    end(r, "tsmbr_allocate_or_call", closings);
    return block != NULL ? hand_out(r, block, bytes) : self->otherwise(self->context, bytes, alignment);
}

/* The block's end, as far as the caller's word goes. */
void tsmbr_deallocate(tsmbr_resource *self, void *ptr, size_t bytes, size_t alignment)
{
    CORE(tsmbr_deallocate)(self, ptr, bytes, alignment);
    uintptr_t closings = begin(self, "tsmbr_deallocate");
    if (ptr != NULL) {
        VALGRIND_MEMPOOL_FREE(self, ptr);
        poison(ptr, zoned(self, place_bytes(bytes)));
    }
    end(self, "tsmbr_deallocate", closings);
}

bool tsmbr_try_resize(tsmbr_resource *self, void *ptr, size_t old_bytes, size_t new_bytes)
{
    uintptr_t closings = begin(self, "tsmbr_try_resize");
    check_block(self, ptr, old_bytes, "tsmbr_try_resize");
    unsigned char *block = ptr;
    old_bytes = place_bytes(old_bytes);
    new_bytes = place_bytes(new_bytes);
    /* Given-up bytes may be another's as soon as the core gives them up. */
    if (ptr != NULL && new_bytes < old_bytes) {
        poison(block + new_bytes, old_bytes - new_bytes);
        poison_zone(self, block, new_bytes);
    }
    bool resized = CORE(tsmbr_try_resize)(self, ptr, zoned(self, old_bytes), zoned(self, new_bytes));
    end(self, "tsmbr_try_resize", closings);
    if (resized && new_bytes > old_bytes) {
        make_undefined(block + old_bytes, new_bytes - old_bytes);
        poison_zone(self, block, new_bytes);
    }
    if (resized)
        VALGRIND_MEMPOOL_CHANGE(self, block, block, new_bytes);
    return resized;
}

/* The core's calls are those above. */
void *tsmbr_reallocate(tsmbr_resource *self, void *ptr, size_t old_bytes, size_t new_bytes, size_t alignment)
{
    uintptr_t closings = begin(self, "tsmbr_reallocate");
    check_block(self, ptr, old_bytes, "tsmbr_reallocate");
    void *block = CORE(tsmbr_reallocate)(self, ptr, old_bytes, new_bytes, alignment);
    end(self, "tsmbr_reallocate", closings);
    return block;
}

/* ------------------------------------------------------------------------------- statistics -- */

bool tsmbr_owns(const tsmbr_resource *self, const void *ptr)
{
    uintptr_t closings = begin(self, "tsmbr_owns");
    bool owned = CORE(tsmbr_owns)(self, ptr);
    end(self, "tsmbr_owns", closings);
    return owned;
}

void tsmbr_get_statistics(const tsmbr_resource *self, tsmbr_statistics *statistics)
{
    uintptr_t closings = begin(self, "tsmbr_get_statistics");
    CORE(tsmbr_get_statistics)(self, statistics);
    end(self, "tsmbr_get_statistics", closings);
}

#endif
