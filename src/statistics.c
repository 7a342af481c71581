/* statistics.c - walks over the chunks while other threads allocate.
 *
 * The lists only grow at their heads until release, so a walk that starts from a loaded head or
 * large reaches published chunks only, and ends. */
#include "resource.h"

bool tsmbr_owns(const tsmbr_resource *self, const void *ptr)
{
    const resource *r = resource_of_const(self);
    const chunk *head = head_load_acquire(r);
    for (const chunk *c = head; c != NULL; c = c->prev)
        if (chunk_owns(c, ptr))
            return true;
    for (const chunk *c = head != NULL ? head->follow : NULL; c != NULL; c = c->follow)
        if (chunk_owns(c, ptr))
            return true;
    for (const chunk *c = large_load_acquire(r); c != NULL; c = c->prev)
        if (chunk_owns(c, ptr))
            return true;
    return false;
}

static void statistics_add(tsmbr_statistics *s, const chunk *c, bool left_behind)
{
    size_t next = next_load_relaxed(c);
    s->allocated_bytes += next;
    s->reserved_bytes += c->allocation_size;
    if (c->allocation_size != 0)
        s->chunks += 1;
    if (left_behind)
        s->wasted_bytes += c->capacity - next;
}

void tsmbr_get_statistics(const tsmbr_resource *self, tsmbr_statistics *statistics)
{
    const resource *r = resource_of_const(self);
    tsmbr_statistics s = {0};
    const chunk *head = head_load_acquire(r);
    for (const chunk *c = head; c != NULL; c = c->prev)
        statistics_add(&s, c, c != head);
    for (const chunk *c = head != NULL ? head->follow : NULL; c != NULL; c = c->follow)
        statistics_add(&s, c, false);
    for (const chunk *c = large_load_acquire(r); c != NULL; c = c->prev)
        statistics_add(&s, c, next_load_relaxed(c) != 0);
    s.peak_reserved_bytes = s.reserved_bytes > r->peak ? s.reserved_bytes : r->peak;
    s.lost_races = lost_load_relaxed(r);
    *statistics = s;
}
