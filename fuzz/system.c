/* system.c - passes on what the library asks of the system, or refuses. */
#include "system.h"

#include <errno.h>
#include <stdatomic.h>

static unsigned until; /* calls to the one that is refused; 0: none is */
static bool all_behind;
static bool refused;
static atomic_int end_is_refused; /* of one thread: orders nothing */
static atomic_size_t mapped;      /* a sum: orders nothing */

size_t system_mapped(void)
{
    return atomic_load_explicit(&mapped, memory_order_relaxed);
}

bool system_refuses(void)
{
    if (until == 0)
        return false;
    if (until > 1) {
        until--;
        return false;
    }
    until = all_behind ? 1 : 0;
    refused = true;
    return true;
}

void system_refuse(unsigned first, bool all)
{
    until = first;
    all_behind = all;
    refused = false;
}

void system_refuse_end(void)
{
    atomic_store_explicit(&end_is_refused, 1, memory_order_relaxed);
}

#if defined(_WIN32)
static void kept_unmap(void) {}
#else
enum { KEPT = 16 };
static struct {
    void *ptr;
    size_t bytes;
} kept[KEPT]; /* which should have been unmapped */
static unsigned kept_count;

static void kept_unmap(void)
{
    while (kept_count > 0) {
        kept_count--;
        (void)munmap(kept[kept_count].ptr, kept[kept_count].bytes);
    }
}

static bool refuses(void)
{
    if (!system_refuses())
        return false;
    errno = ENOMEM;
    return true;
}

void *system_mmap(void *ptr, size_t bytes, int protection, int flags, int file, long offset)
{
    void *place = refuses() ? MAP_FAILED : mmap(ptr, bytes, protection, flags, file, offset);
    if (place != MAP_FAILED)
        atomic_fetch_add_explicit(&mapped, bytes, memory_order_relaxed);
    return place;
}

int system_munmap(void *ptr, size_t bytes)
{
    atomic_fetch_sub_explicit(&mapped, bytes, memory_order_relaxed);
    if (kept_count == KEPT || !refuses())
        return munmap(ptr, bytes);
    kept[kept_count].ptr = ptr;
    kept[kept_count++].bytes = bytes;
    return -1;
}

int system_mprotect(void *ptr, size_t bytes, int protection)
{
    return refuses() ? -1 : mprotect(ptr, bytes, protection);
}

int system_madvise(void *ptr, size_t bytes, int advice)
{
    return refuses() ? -1 : madvise(ptr, bytes, advice);
}

int system_setspecific(pthread_key_t key, const void *value)
{
    bool refuse = atomic_exchange_explicit(&end_is_refused, 0, memory_order_relaxed);
    return refuse ? ENOMEM : pthread_setspecific(key, value);
}
#endif

bool system_serve(void)
{
    bool has_refused = refused;
    until = 0;
    refused = false;
    atomic_store_explicit(&end_is_refused, 0, memory_order_relaxed);
    kept_unmap();
    return has_refused;
}
