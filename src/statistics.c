/* statistics.c - questions about the chunks, answered while other threads allocate. */
#include "lane.h"
#include "resource.h"

bool CORE(tsmbr_owns)(const tsmbr_resource *self, const void *ptr)
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

/* What lanes have and have not handed out, and the tables that they are in. Two words of a lane are
 * read one after the other: if they do not belong together, the lane is in motion, and counts for nothing. */
static size_t resource_in_lanes(const resource *r)
{
    size_t bytes = 0;
    for (unsigned group = 1; group < SLOT_GROUPS; group++) {
        const lane *table = lanes_load_acquire(r, group);
        if (table == NULL)
            continue;
        bytes += lane_table_bytes(group);
        for (unsigned i = 0; i < slot_group_size(group); i++) {
            size_t end = (size_t)(uintptr_t)lane_end_load_relaxed(&table[i]);
            size_t left = end - (size_t)(uintptr_t)lane_cursor_load_relaxed(&table[i]);
            bytes += left <= 2 * PLACE_RUN_MOST ? left : 0;
        }
    }
    return bytes;
}

void CORE(tsmbr_get_statistics)(const tsmbr_resource *self, tsmbr_statistics *statistics)
{
    const resource *r = resource_of_const(self);
    tsmbr_statistics s = {0};
    /* Before the chunks, so that what is taken off has been added on. */
    size_t unused = unused_load_relaxed(r);
    size_t in_lanes = resource_in_lanes(r);
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL; walk_on(&w)) {
        size_t next = next_load_relaxed(w.c);
        s.allocated_bytes += next;
        s.reserved_bytes += w.c->allocation_size;
        if (w.c->allocation_size != 0)
            s.chunks += 1;
        if (walk_behind(&w, next))
            s.wasted_bytes += w.c->capacity - next;
    }
    s.allocated_bytes -= in_lanes + unused < s.allocated_bytes ? in_lanes + unused : s.allocated_bytes;
    s.wasted_bytes += unused;
    s.peak_reserved_bytes = s.reserved_bytes > r->peak ? s.reserved_bytes : r->peak;
    s.lost_races = lost_load_relaxed(r);
    *statistics = s;
}
