/* resource.h - what the files of the resource layer share. */
#ifndef TSMBR_RESOURCE_H
#define TSMBR_RESOURCE_H

#include "chunk.h"

/* `bytes`, and what tables of lanes take: so that in a chunk one thread's blocks of `bytes` bytes in all fit. */
size_t tsmbr_resource_with_tables(const resource *r, size_t bytes);

/* A block from the current chunk, of which there is one, by the shared path alone. NULL if that has no room:
 * going on to a kept one here would make the same calls after a reset get other blocks than before. */
/*@ requires resource_ok(r) && chunk_seen == 1 && won == \null && 0 < bytes && power_of_two(alignment);
  @ assigns TAKEN;
  @ ensures no: \result == \null ==> won == \null;
  @ ensures yes: \result != \null ==> took(\result, bytes, alignment);
  @*/
void *tsmbr_resource_carve(resource *r, size_t bytes, size_t alignment);

/*@ requires resource_ok(r);
  @ assigns \nothing;
  @ ensures upstream_ok(\result) && (\result == r->upstream || \result == &system_upstream);
  @*/
static inline const tsmbr_upstream *resource_upstream(const resource *r)
{
    return r->upstream != NULL ? r->upstream : tsmbr_system_upstream();
}

/* A walk over every chunk held, each once: from head by prev, from head by follow, from large by
 * prev. Lists only grow at their heads until the resource is at rest, so a walk while other threads
 * allocate meets published chunks only, and ends.
 *
 *     for (walk w = walk_from(r, head); w.c != NULL; walk_on(&w)) */
enum walk_part { WALK_PREV, WALK_FOLLOW, WALK_LARGE };

typedef struct walk {
    const resource *r;
    const chunk *head; /* where it began */
    chunk *c;          /* the chunk it stands at; NULL: it is over */
    enum walk_part part;
} walk;

/*@ predicate walk_ok{L}(walk *w) =
  @     lists_ok && \valid(w) && apart((char *)w, sizeof(*w)) && listed(w->head) && listed(w->c);
  @*/

/* Go on to the next part of the walk while there is no chunk in this one. */
/*@ requires walk_ok(w);
  @ assigns w->c, w->part;
  @ ensures walk_ok(w);
  @*/
static inline void walk_settle(walk *w)
{
    if (w->c == NULL && w->part == WALK_PREV) {
        w->part = WALK_FOLLOW;
        w->c = w->head != NULL ? w->head->follow : NULL;
    }
    if (w->c == NULL && w->part == WALK_FOLLOW) {
        w->part = WALK_LARGE;
        w->c = large_load_acquire(w->r);
    }
}

/*@ requires lists_ok && listed(head);
  @ assigns \nothing;
  @ ensures listed(\result.head) && listed(\result.c);
  @*/
static inline walk walk_from(const resource *r, chunk *head)
{
    walk w = {r, head, head, WALK_PREV};
    walk_settle(&w);
    return w;
}

/*@ requires walk_ok(w) && w->c != \null;
  @ assigns w->c, w->part;
  @ ensures walk_ok(w);
  @*/
static inline void walk_on(walk *w)
{
    w->c = w->part == WALK_FOLLOW ? w->c->follow : w->c->prev;
    walk_settle(w);
}

#endif
