/* statistics.c - questions about the chunks, answered while other threads allocate. */
#include "resource.h"

bool tsmbr_owns(const tsmbr_resource *self, const void *ptr)
{
    const resource *r = resource_of_const(self);
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL; walk_on(&w))
        if (chunk_owns(w.c, ptr))
            return true;
    return false;
}

/* Whether a chunk that a walk stands at is left behind: only a last resort hands out more of it. */
static bool walk_behind(const walk *w, size_t next)
{
    return w->part == WALK_LARGE ? next != 0 : w->part == WALK_PREV && w->c != w->head;
}

void tsmbr_get_statistics(const tsmbr_resource *self, tsmbr_statistics *statistics)
{
    const resource *r = resource_of_const(self);
    tsmbr_statistics s = {0};
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL; walk_on(&w)) {
        size_t next = next_load_relaxed(w.c);
        s.allocated_bytes += next;
        s.reserved_bytes += w.c->allocation_size;
        if (w.c->allocation_size != 0)
            s.chunks += 1;
        if (walk_behind(&w, next))
            s.wasted_bytes += w.c->capacity - next;
    }
    s.peak_reserved_bytes = s.reserved_bytes > r->peak ? s.reserved_bytes : r->peak;
    s.lost_races = lost_load_relaxed(r);
    *statistics = s;
}
