/* lifetime.c - the ends of lifetimes: cleanups, reset, release, destroy.
 *
 * All of it but registration runs at rest: the caller has synchronized with every thread that used
 * the resource, so plain reads and relaxed stores do. */
#include <errno.h>
#include <string.h>

#include "resource.h"

int tsmbr_on_release(tsmbr_resource *self, void (*function)(void *), void *argument)
{
    TOOLS_CALL(self);
    if (function == NULL) {
        errno = EINVAL;
        return EINVAL;
    }
    cleanup *n = tsmbr_allocate(self, sizeof(cleanup), _Alignof(cleanup));
    if (n == NULL)
        return ENOMEM;
    n->function = function;
    n->argument = argument;
    resource *r = resource_of(self);
    size_t lost = 0;
    for (;; ++lost) {
        cleanup *seen = cleanups_load_relaxed(r);
        n->prev = seen;
        if (cleanups_cas_relaxed(r, seen, n))
            break;
    }
    if (lost != 0)
        lost_add_relaxed(r, lost);
    return 0;
}

/* Latest first; one that a cleanup registers is the latest. */
static void resource_run_cleanups(resource *r)
{
    for (cleanup *c = cleanups_load_relaxed(r); c != NULL; c = cleanups_load_relaxed(r)) {
        cleanups_store_relaxed(r, c->prev);
        c->function(c->argument);
    }
}

/* Turn a list that goes to the oldest by prev into one that goes to the newest by follow. */
static chunk *list_rewind(chunk *newest)
{
    chunk *oldest = NULL;
    for (chunk *c = newest; c != NULL; c = c->prev) {
        c->follow = oldest;
        oldest = c;
    }
    return oldest;
}

/* Empty the chunks of a list that goes by follow, keep those that fit into what is left of `most`,
 * and give the others back. Links the kept ones both ways; returns the oldest. */
static chunk *resource_keep(resource *r, chunk *oldest, size_t most, size_t *kept, chunk **newest)
{
    chunk *first = NULL;
    chunk *last = NULL;
    for (chunk *c = oldest, *follow = NULL; c != NULL; c = follow) {
        follow = c->follow;
        if (c->allocation_size > most - *kept) {
            tsmbr_chunk_give_back(resource_upstream(r), c);
            continue;
        }
        *kept += c->allocation_size;
        next_store_relaxed(c, 0);
        TOOLS_EMPTY(c->allocation_ptr, c->capacity);
        c->prev = last;
        c->follow = NULL;
        c->held = (last != NULL ? last->held : 0) + c->allocation_size;
        if (last != NULL)
            last->follow = c;
        else
            first = c;
        last = c;
    }
    *newest = last;
    return first;
}

void CORE(tsmbr_reset)(tsmbr_resource *self, size_t keep_bytes)
{
    resource *r = resource_of(self);
    int saved_errno = errno; /* a cleanup may change it, an upstream, too */
    resource_run_cleanups(r);
    TOOLS_BLOCKS_END(self);
    if ((r->flags & TSMBR_NO_RECYCLE) != 0)
        keep_bytes = 0;

    chunk *newest = head_load_acquire(r);
    while (newest != NULL && newest->follow != NULL)
        newest = newest->follow;
    size_t held = published_load_relaxed(r);
    if (held > r->peak)
        r->peak = held;

    /* Oldest first, so that the same calls meet the same chunks in the same order. */
    size_t kept = 0;
    head_store_relaxed(r, resource_keep(r, list_rewind(newest), keep_bytes, &kept, &newest));
    r->kept_large = resource_keep(r, list_rewind(large_load_acquire(r)), keep_bytes, &kept, &newest);
    large_store_relaxed(r, newest);
    reserved_store_relaxed(r, kept);
    published_store_relaxed(r, kept);
    large_weight_store_relaxed(r, 0);
    r->ahead = 0;

    /* The tables lie in chunks, whose blocks are forgotten. */
    for (unsigned group = 1; group < SLOT_GROUPS; group++)
        lanes_store_relaxed(r, group, NULL);
    lanes_used_store_relaxed(r, 0);
    unused_store_relaxed(r, 0);
    errno = saved_errno;
}

/* Let c, which waits behind the current chunk, count in growth, so that requests that it can serve count as small
 * and wait for it. Once, and whether it was got now or kept: the next frame has to go the same way. */
static void resource_weigh_ahead(resource *r, const chunk *c)
{
    if (c == head_load_acquire(r) || c->held <= r->ahead)
        return;
    r->ahead = c->held;
    large_weight_add_relaxed(r, c->allocation_size);
}

int CORE(tsmbr_reserve)(tsmbr_resource *self, size_t bytes)
{
    resource *r = resource_of(self);
    chunk *newest = NULL;
    for (chunk *c = head_load_acquire(r); c != NULL; c = c->follow) {
        if (bytes <= c->capacity - next_load_relaxed(c)) {
            resource_weigh_ahead(r, c);
            return 0;
        }
        newest = c;
    }
    int saved_errno = errno;
    size_t total = 0;
    size_t reserved = reserved_load_relaxed(r);
    bool may_ask = place_total(tsmbr_resource_with_tables(r, bytes), 1, &total) &&
                   (r->limit == 0 || (reserved <= r->limit && total <= r->limit - reserved));
    chunk *n = may_ask ? tsmbr_chunk_obtain(resource_upstream(r), total) : NULL;
    if (n == NULL) {
        errno = ENOMEM;
        return ENOMEM;
    }
    errno = saved_errno;
    n->prev = newest;
    n->held = (newest != NULL ? newest->held : 0) + total;
    if (newest != NULL)
        newest->follow = n;
    else
        head_store_relaxed(r, n);
    reserved_store_relaxed(r, reserved + total);
    published_store_relaxed(r, published_load_relaxed(r) + total);
    resource_weigh_ahead(r, n);
    return 0;
}

void CORE(tsmbr_release)(tsmbr_resource *self)
{
    CORE(tsmbr_reset)(self, 0);
}

void CORE(tsmbr_destroy)(tsmbr_resource *self)
{
    if (self == NULL)
        return;
    CORE(tsmbr_release)(self);
    memset(self, 0, sizeof *self);
}
