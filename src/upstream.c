/* upstream.c - the upstreams that come with the library.
 *
 * The system upstream takes small memory from malloc and large memory from the operating system, in
 * mappings that begin where a huge page can begin:
 *
 *     2 MiB            2 MiB            2 MiB
 *       |----------------|----------------|-------+
 *       mapping                                   end, rounded up to a page
 *
 * The guarded upstream maps everything, between two pages that nobody can touch:
 *
 *     page             page             page             page
 *       |XXXXXXXXXXXXXXXX|......----------|-----...........|XXXXXXXXXXXXXXXX|
 *       guard                   memory, from a random place on     guard
 *
 * Key invariant: whether memory is mapped, and how many bytes of it, follows from the `bytes` of the
 * request and the address granted. So deallocate knows what to unmap, and there is no header to push
 * the memory off its alignment. */

/* The system reads these names: mappings and their advice, beside what the C standard has. */
/* NOLINTBEGIN(*-reserved-identifier,cert-dcl*) */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif
#if defined(__NetBSD__) && !defined(_NETBSD_SOURCE)
#define _NETBSD_SOURCE
#endif
/* NOLINTEND(*-reserved-identifier,cert-dcl*) */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <malloc.h>
#else
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#endif
#if defined(__linux__) && defined(__has_include)
#if __has_include(<sys/random.h>)
#include <pthread.h>
#include <sys/random.h>
#define RANDOM_FROM_KERNEL
#endif
#endif

#include "tsmbr.h"

/* ---------------------------------------------------------------------------------- malloc -- */

/* malloc's own alignment. Above it a call of its own is needed, and on Windows a free of its own. */
static bool malloc_aligns(size_t alignment)
{
    return alignment <= _Alignof(max_align_t);
}

static void *malloc_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    if (malloc_aligns(alignment))
        return malloc(bytes);
#if defined(_WIN32)
    return bytes <= PTRDIFF_MAX ? _aligned_malloc(bytes, alignment) : NULL; /* wine's adds without a look */
#else
    void *ptr = NULL;
    return posix_memalign(&ptr, alignment, bytes) == 0 ? ptr : NULL;
#endif
}

static void malloc_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
#if defined(_WIN32)
    if (!malloc_aligns(alignment)) {
        _aligned_free(ptr);
        return;
    }
#else
    (void)alignment;
#endif
    free(ptr);
}

/* -------------------------------------------------------------------------------- mappings -- */

#if defined(_WIN32)

/* Huge pages take a privilege there that programs do not have, and malloc maps large memory itself. */
static size_t page_bytes(void)
{
    return 4096;
}

static bool system_maps(size_t bytes)
{
    (void)bytes;
    return false;
}

static void *map_allocate(size_t bytes, size_t alignment)
{
    (void)bytes;
    (void)alignment;
    return NULL;
}

static void map_deallocate(void *ptr, size_t bytes)
{
    (void)ptr;
    (void)bytes;
}

static void *guarded_allocate(void *context, size_t bytes, size_t alignment)
{
    return malloc_allocate(context, bytes, alignment);
}

static void guarded_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    malloc_deallocate(context, ptr, bytes, alignment);
}

#else

#if !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS MAP_ANON
#endif

/* LeakSanitizer finds what mappings point to only if it is told of them. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MAP_IS_WATCHED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MAP_IS_WATCHED
#endif
#if defined(MAP_IS_WATCHED)
#include <sanitizer/lsan_interface.h>
#define MAP_OPENED(ptr, mapped) __lsan_register_root_region((ptr), (mapped))
#define MAP_CLOSED(ptr, mapped) __lsan_unregister_root_region((ptr), (mapped))
#else
#define MAP_OPENED(ptr, mapped) ((void)0)
#define MAP_CLOSED(ptr, mapped) ((void)0)
#endif

/* The huge page of most machines. Less than one has nothing to gain from a mapping, and malloc may
 * have it at hand. */
#define MAP_HUGE ((size_t)2 << 20)

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE); /* has no way to fail */
}

/* Above PTRDIFF_MAX there are no objects: malloc refuses. So a size that is mapped can be rounded. */
static bool system_maps(size_t bytes)
{
    return bytes >= MAP_HUGE && bytes <= PTRDIFF_MAX;
}

static size_t map_bytes(size_t bytes)
{
    size_t page = page_bytes();
    return (bytes + page - 1) & ~(page - 1);
}

static unsigned char *map_open(size_t mapped)
{
    void *ptr = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ptr != MAP_FAILED ? ptr : NULL;
}

static void map_close(unsigned char *ptr, size_t mapped)
{
    if (mapped == 0 || munmap(ptr, mapped) == 0)
        return;
#if defined(__linux__)
    /* The kernel merges neighbours, and may refuse to split them again where a process has very many
     * mappings. The addresses are lost then, the memory is not. */
    (void)madvise(ptr, mapped, MADV_DONTNEED);
#endif
}

static size_t map_padding(const unsigned char *ptr, size_t alignment)
{
    return (0 - (size_t)(uintptr_t)ptr) & (alignment - 1);
}

/* A mapping of `mapped` bytes, a multiple of the page, at a multiple of `alignment`; or NULL. */
static unsigned char *map_aligned(size_t mapped, size_t alignment)
{
    /* Mappings stand side by side, and new kernels align large ones: often the first is right. */
    unsigned char *ptr = map_open(mapped);
    if (ptr == NULL || map_padding(ptr, alignment) == 0)
        return ptr;
    map_close(ptr, mapped);

    size_t spare = alignment - page_bytes();
    if (spare > SIZE_MAX - mapped)
        return NULL;
    ptr = map_open(mapped + spare);
    if (ptr == NULL)
        return NULL;
    size_t head = map_padding(ptr, alignment);
    map_close(ptr, head);
    map_close(ptr + head + mapped, spare - head);
    return ptr + head;
}

static void *map_allocate(size_t bytes, size_t alignment)
{
    size_t mapped = map_bytes(bytes);
    size_t wished = alignment > MAP_HUGE ? alignment : MAP_HUGE;
    unsigned char *ptr = map_aligned(mapped, wished);
    /* The space to choose a place from may be missing where the place itself is not. */
    if (ptr == NULL && alignment < wished)
        ptr = map_aligned(mapped, alignment);
    if (ptr == NULL)
        return NULL;
#if defined(MADV_HUGEPAGE)
    (void)madvise(ptr, mapped, MADV_HUGEPAGE); /* a kernel without them says no: as well */
#endif
    MAP_OPENED(ptr, mapped);
    return ptr;
}

static void map_deallocate(void *ptr, size_t bytes)
{
    size_t mapped = map_bytes(bytes);
    MAP_CLOSED(ptr, mapped);
    map_close(ptr, mapped);
}

/* ------------------------------------------------------------------------ guarded mappings -- */

#if defined(RANDOM_FROM_KERNEL)
/* Whether the kernel had a word at once. The C library's getrandom is a cancellation point, and no call of ours
 * is one: a thread that ended here would take with it what its resource has reserved. */
static bool random_from_kernel(size_t *word)
{
#if defined(PTHREAD_CANCEL_DISABLE) /* else there is no cancellation */
    int state = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
#endif
    bool whole = getrandom(word, sizeof *word, GRND_NONBLOCK) == (ssize_t)sizeof *word;
#if defined(PTHREAD_CANCEL_DISABLE)
    (void)pthread_setcancelstate(state, NULL);
#endif
    return whole;
}
#endif

/* A word that an attacker does not know. Where the system has none to give, or none yet, what it chose at
 * random before, this stack's address, and the time: harder to know than a constant, and no more than
 * that. There is no state of our own, so nothing for threads to wait for. */
static size_t random_word(void)
{
    size_t word = 0;
#if defined(RANDOM_FROM_KERNEL)
    if (random_from_kernel(&word))
        return word;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
    arc4random_buf(&word, sizeof word);
    return word;
#endif
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t mixed = (uintptr_t)&word + (uint64_t)now.tv_nsec + ((uint64_t)now.tv_sec << 30);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)(mixed ^ (mixed >> 31));
}

/* The bytes between the guards, where memory begins `offset` bytes into the first page. */
static size_t guarded_bytes(size_t offset, size_t bytes)
{
    return map_bytes(offset + (bytes != 0 ? bytes : 1));
}

/* Address space that nobody can touch, `mapped` bytes, whose second page is at a multiple of `alignment`,
 * at least a page; or NULL. */
static unsigned char *guarded_space(size_t mapped, size_t alignment)
{
    size_t page = page_bytes();
    size_t spare = alignment - page;
    if (spare > SIZE_MAX - mapped)
        return NULL;
    void *space = mmap(NULL, mapped + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED)
        return NULL;
    unsigned char *ptr = space;
    size_t head = map_padding(ptr + page, alignment);
    map_close(ptr, head);
    map_close(ptr + head + mapped, spare - head);
    return ptr + head;
}

static void *guarded_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    size_t page = page_bytes();
    if (bytes > PTRDIFF_MAX - 4 * page) {
        errno = ENOMEM;
        return NULL;
    }
    int saved_errno = errno;
    size_t offset = random_word() & (page - 1) & ~(alignment - 1);
    size_t opened = guarded_bytes(offset, bytes);
    unsigned char *space = guarded_space(opened + 2 * page, alignment > page ? alignment : page);
    if (space == NULL) {
        errno = ENOMEM; /* not the system's EAGAIN, where pages are locked */
        return NULL;
    }
    unsigned char *first = space + page;
    if (mprotect(first, opened, PROT_READ | PROT_WRITE) != 0) {
        map_close(space, opened + 2 * page);
        errno = ENOMEM;
        return NULL;
    }
    MAP_OPENED(first, opened);
    errno = saved_errno;
    return first + offset;
}

static void guarded_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)alignment;
    if (ptr == NULL)
        return;
    size_t page = page_bytes();
    size_t offset = (size_t)(uintptr_t)ptr & (page - 1);
    size_t opened = guarded_bytes(offset, bytes);
    unsigned char *first = (unsigned char *)ptr - offset;
    MAP_CLOSED(first, opened);
    map_close(first - page, opened + 2 * page);
}

#endif

/* ---------------------------------------------------------------------- system and prefault -- */

static void *system_allocate(void *context, size_t bytes, size_t alignment)
{
    int saved_errno = errno;
    void *ptr = system_maps(bytes) ? map_allocate(bytes, alignment) : malloc_allocate(context, bytes, alignment);
    if (ptr != NULL)
        errno = saved_errno;
    return ptr;
}

static void system_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    if (ptr != NULL && system_maps(bytes))
        map_deallocate(ptr, bytes);
    else
        malloc_deallocate(context, ptr, bytes, alignment);
}

/* Write to each page that the bytes lie on. */
static void touch(unsigned char *ptr, size_t bytes)
{
    size_t page = page_bytes();
    for (size_t i = 0; i < bytes; i += page)
        *(volatile unsigned char *)(ptr + i) = 0;
    /* ptr need not begin a page: the last step may stop short of the last one. */
    if (bytes != 0)
        *(volatile unsigned char *)(ptr + bytes - 1) = 0;
}

static void *prefault_allocate(void *context, size_t bytes, size_t alignment)
{
    unsigned char *ptr = system_allocate(context, bytes, alignment);
    if (ptr == NULL)
        return NULL;
#if defined(MADV_POPULATE_WRITE)
    /* One call in place of a fault for each page. Kernels before 5.14 do not know it. */
    int saved_errno = errno;
    if (system_maps(bytes) && madvise(ptr, map_bytes(bytes), MADV_POPULATE_WRITE) == 0)
        return ptr;
    errno = saved_errno;
#endif
    touch(ptr, bytes);
    return ptr;
}

/* ------------------------------------------------------------------------------------ null -- */

static void *null_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    (void)bytes;
    (void)alignment;
    return NULL;
}

static void null_deallocate(void *context, void *ptr, size_t bytes, size_t alignment)
{
    (void)context;
    (void)ptr;
    (void)bytes;
    (void)alignment;
}

/* ------------------------------------------------------------------------------ the library -- */

static const tsmbr_upstream malloc_upstream = {malloc_allocate, malloc_deallocate, NULL};
static const tsmbr_upstream null_upstream = {null_allocate, null_deallocate, NULL};
static const tsmbr_upstream system_upstream = {system_allocate, system_deallocate, NULL};
static const tsmbr_upstream prefault_upstream = {prefault_allocate, system_deallocate, NULL};
static const tsmbr_upstream guarded_upstream = {guarded_allocate, guarded_deallocate, NULL};

const tsmbr_upstream *tsmbr_malloc_upstream(void)
{
    return &malloc_upstream;
}

const tsmbr_upstream *tsmbr_null_upstream(void)
{
    return &null_upstream;
}

const tsmbr_upstream *tsmbr_system_upstream(void)
{
    return &system_upstream;
}

const tsmbr_upstream *tsmbr_prefault_upstream(void)
{
    return &prefault_upstream;
}

const tsmbr_upstream *tsmbr_guarded_upstream(void)
{
    return &guarded_upstream;
}
