/* supply.c - the arena, its grants, and the accounts over them. */
#include "supply.h"

#include "system.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#endif
#if defined(__linux__)
#include <sys/random.h>
#endif

enum { LINE = 64, RECORD = 64, GRANTS = 4096, GUARD = 0xC5, FRESH = 0xA5, GONE = 0xDD };
static const size_t ARENA_BYTES = (size_t)256 << 20;
static const size_t PREFAULT_MOST = (size_t)5 << 20; /* more takes long */
static const size_t ARENA_ALIGNMENT = (size_t)2 << 20;
static const size_t FILL_MOST = (size_t)16 << 10; /* bytes at both ends that are filled on the way */
static const size_t TIDY_ABOVE = (size_t)1 << 20;

static unsigned char *arena;
static unsigned char *top;     /* everything from here on is free */
static unsigned char *highest; /* the highest that top has been since the last tidying */
static grant grants[GRANTS];
static size_t grant_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#if UNDER_ASAN
#define ARENA_HIDE(ptr, bytes) __asan_poison_memory_region((ptr), (bytes))
#define ARENA_SHOW(ptr, bytes) __asan_unpoison_memory_region((ptr), (bytes))
#elif UNDER_MSAN
#define ARENA_HIDE(ptr, bytes) __msan_poison((ptr), (bytes))
#define ARENA_SHOW(ptr, bytes) ((void)(ptr), (void)(bytes)) /* shown as it is written */
#else
#define ARENA_HIDE(ptr, bytes) ((void)(ptr), (void)(bytes))
#define ARENA_SHOW(ptr, bytes) ((void)(ptr), (void)(bytes))
#endif

void supply_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void supply_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

#if defined(_WIN32)
static void *arena_memory(size_t bytes)
{
    return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

/* What was written to is not needed any more. */
static void arena_forget(unsigned char *ptr, size_t bytes)
{
    (void)VirtualAlloc(ptr, bytes, MEM_RESET, PAGE_READWRITE);
}
#else
static void *arena_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* What was written to is not needed any more. */
static void arena_forget(unsigned char *ptr, size_t bytes)
{
    (void)madvise(ptr, bytes, MADV_DONTNEED);
}
#endif

static void arena_open(void)
{
    unsigned char *memory = arena_memory(ARENA_BYTES + ARENA_ALIGNMENT);
    if (memory == NULL)
        fail("no arena");
    arena = memory + (0 - (uintptr_t)memory) % ARENA_ALIGNMENT;
    top = highest = arena;
}

#if defined(__linux__)
/* In place of the C library's: the places of the guarded upstream, too, are the same in every run. */
static uint64_t places;

ssize_t getrandom(void *buffer, size_t bytes, unsigned flags)
{
    (void)flags;
    if (system_refuses())
        return -1;
    for (size_t i = 0; i < bytes; i++) {
        places = places * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)buffer)[i] = (unsigned char)(places >> 56);
    }
    return (ssize_t)bytes;
}

static void places_begin(void)
{
    places = 0;
}
#else
static void places_begin(void) {}
#endif

static void fill(unsigned char *ptr, size_t bytes, int value)
{
    if (bytes <= 2 * FILL_MOST) {
        memset(ptr, value, bytes);
        return;
    }
    memset(ptr, value, FILL_MOST);
    memset(ptr + bytes - FILL_MOST, value, FILL_MOST);
}

/* -------------------------------------------------------------------------------------- grants -- */

static grant *grant_add(const supply *s, unsigned char *base, size_t bytes, unsigned char *guarded)
{
    grant *g = &grants[grant_count++];
    *g = (grant){.base = base, .bytes = bytes, .owner = s, .guarded = guarded};
    return g;
}

/* From the arena, where the account says. NULL if there is no room. */
static grant *grant_make(const supply *s, size_t bytes)
{
    if (arena == NULL)
        arena_open();
    unsigned char *base = top;
    if (s->gap != 0) {
        base += s->gap;
        base += (0 - (uintptr_t)base) % LINE + s->misalign;
    }
    if (grant_count == GRANTS || bytes > (size_t)(arena + ARENA_BYTES - top) ||
        (size_t)(base - top) > (size_t)(arena + ARENA_BYTES - top) - bytes)
        return NULL;
    ARENA_SHOW(top, (size_t)(base - top) + bytes);
    memset(top, GUARD, (size_t)(base - top));
    fill(base, bytes, FRESH);
    grant *g = grant_add(s, base, bytes, top);
    top = base + bytes;
    highest = top > highest ? top : highest;
    return g;
}

static void grant_check(const grant *g)
{
    for (const unsigned char *p = g->guarded; p != g->base; p++)
        REQUIRE_THAT(*p == GUARD, "a byte %zu bytes before memory of the upstream has been written to",
                     (size_t)(g->base - p));
}

static void grant_remove(grant *g)
{
    grant_check(g);
    bool in_arena = g->owner->base == NULL || g->buffer;
    if (in_arena) {
        fill(g->base, g->bytes, GONE);
        ARENA_HIDE(g->base, g->bytes);
    }
    *g = grants[--grant_count];
    if (!in_arena)
        return;
    top = arena;
    for (size_t i = 0; i < grant_count; i++)
        if (grants[i].owner->base == NULL || grants[i].buffer)
            top = grants[i].base + grants[i].bytes > top ? grants[i].base + grants[i].bytes : top;
}

size_t grant_capacity(const grant *g)
{
    if (g->buffer)
        return g->bytes;
    uintptr_t record = ((uintptr_t)g->base + g->bytes - RECORD) & ~(uintptr_t)(LINE - 1);
    return g->bytes < RECORD || record < (uintptr_t)g->base ? 0 : (size_t)(record - (uintptr_t)g->base);
}

grant *supply_find(const supply *s, const void *ptr, size_t bytes)
{
    uintptr_t at = (uintptr_t)ptr;
    for (size_t i = 0; i < grant_count; i++) {
        uintptr_t base = (uintptr_t)grants[i].base;
        if (grants[i].owner == s && at >= base && at - base <= grants[i].bytes &&
            bytes <= grants[i].bytes - (at - base))
            return &grants[i];
    }
    return NULL;
}

grant *supply_next(const supply *s, const grant *before)
{
    for (size_t i = before == NULL ? 0 : (size_t)(before - grants) + 1; i < grant_count; i++)
        if (grants[i].owner == s)
            return &grants[i];
    return NULL;
}

void supply_check(void)
{
    for (size_t i = 0; i < grant_count; i++)
        grant_check(&grants[i]);
}

void supply_tidy(void)
{
    REQUIRE_THAT(grant_count == 0, "%zu pieces of memory are still out at the end", grant_count);
    REQUIRE_THAT(system_mapped() == 0, "%zu bytes are still mapped at the end", system_mapped());
    if (arena != NULL && highest > arena + TIDY_ABOVE)
        arena_forget(arena + TIDY_ABOVE, (size_t)(highest - arena) - TIDY_ABOVE);
    top = highest = arena;
    places_begin();
    (void)system_serve();
}

/* ------------------------------------------------------------------------------------ accounts -- */

static bool supply_refuses(supply *s, size_t bytes)
{
    ++s->calls;
    bool now = s->fail_after != 0 && --s->fail_after == 0;
    return now || (s->fail_every != 0 && s->calls % s->fail_every == 0) ||
           (s->refuse_above != 0 && bytes > s->refuse_above) || grant_count == GRANTS;
}

static grant *supply_grant(supply *s, size_t bytes, size_t alignment)
{
    if (s->base == NULL)
        return grant_make(s, bytes);
    size_t most = s->base == tsmbr_prefault_upstream() ? PREFAULT_MOST : ARENA_BYTES;
    unsigned char *ptr = bytes <= most ? s->base->allocate(s->base->context, bytes, alignment) : NULL;
    if (ptr == NULL)
        return NULL;
    REQUIRE_THAT((uintptr_t)ptr % alignment == 0, "an upstream of the library granted %p for alignment %zu",
                 (void *)ptr, alignment);
    fill(ptr, bytes, FRESH);
    return grant_add(s, ptr, bytes, ptr);
}

/* An address from which so many bytes are more than there are. */
static unsigned char *supply_wrap(supply *s, size_t bytes)
{
    s->wrap_next = false;
    uintptr_t address = (UINTPTR_MAX - bytes / 2) & ~(uintptr_t)(LINE - 1);
    s->wrapping = (void *)address; /* NOLINT(performance-no-int-to-ptr) */
    return s->wrapping;
}

static void *supply_allocate(void *context, size_t bytes, size_t alignment)
{
    supply *s = context;
    supply_lock();
    bool wraps = s->wrap_next && s->base == NULL;
    grant *g = supply_refuses(s, bytes) || wraps ? NULL : supply_grant(s, bytes, alignment);
    unsigned char *base = NULL;
    if (g == NULL) {
        base = wraps ? supply_wrap(s, bytes) : NULL;
        s->refusals++;
        s->least_refused = bytes < s->least_refused ? bytes : s->least_refused;
    } else {
        base = g->base;
        s->held += bytes;
        s->live++;
        s->peak = s->held > s->peak ? s->held : s->peak;
        s->last_bytes = bytes;
    }
    supply_unlock();
    errno = EIO; /* as any upstream may, whatever it answers */
    return base;
}

/* What was granted is given back as it was granted. */
static void supply_take_back(supply *s, void *ptr, size_t bytes, size_t alignment)
{
    grant *g = supply_find(s, ptr, 0);
    while (g != NULL && (g->base != ptr || g->buffer))
        g = supply_next(s, g);
    REQUIRE_THAT(g != NULL, "given back to the upstream: %p, which is not out", ptr);
    REQUIRE_THAT(g->bytes == bytes && alignment == _Alignof(max_align_t),
                 "given back to the upstream: %p with %zu bytes at alignment %zu; it was granted %zu", ptr, bytes,
                 alignment, g->bytes);
    grant_remove(g);
    if (s->base != NULL)
        s->base->deallocate(s->base->context, ptr, bytes, alignment);
    s->held -= bytes;
    s->live--;
    s->largest_returned = bytes > s->largest_returned ? bytes : s->largest_returned;
    s->least_returned = bytes < s->least_returned ? bytes : s->least_returned;
}

static void supply_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    supply *s = context;
    supply_lock();
    if (ptr != NULL && ptr == s->wrapping)
        s->wrapping = NULL;
    else
        supply_take_back(s, ptr, bytes, alignment);
    supply_unlock();
    errno = EIO;
}

void supply_open(supply *s, const tsmbr_upstream *base)
{
    memset(s, 0, sizeof *s);
    s->upstream = (tsmbr_upstream){supply_allocate, supply_deallocate, s};
    s->second = s->upstream;
    s->base = base;
    s->gap = LINE;
    s->least_refused = SIZE_MAX;
    s->least_returned = SIZE_MAX;
}

unsigned char *supply_buffer(supply *s, size_t bytes)
{
    grant *g = grant_make(s, bytes);
    if (g == NULL)
        return NULL;
    g->buffer = true;
    return g->base;
}

void supply_close(supply *s)
{
    for (grant *g = supply_next(s, NULL); g != NULL; g = supply_next(s, NULL)) {
        REQUIRE_THAT(g->buffer, "%zu bytes have not been given back to the upstream", g->bytes);
        grant_remove(g);
    }
    REQUIRE_THAT(s->held == 0 && s->live == 0 && s->wrapping == NULL, "the upstream's account does not close");
}
