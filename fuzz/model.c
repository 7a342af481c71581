/* model.c - blocks and accounts. */
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t WRITE_MOST = BLOCK_WRITE_MOST;

/* -------------------------------------------------------------------------------------- blocks -- */

static unsigned char content(uint32_t seed, size_t i)
{
    return (unsigned char)(seed + i + (i >> 8) * 7);
}

static void block_visit(const block *b, void (*visit)(const block *, size_t begin, size_t end))
{
    if (b->bytes <= 2 * WRITE_MOST) {
        visit(b, 0, b->bytes);
        return;
    }
    visit(b, 0, WRITE_MOST);
    visit(b, b->bytes - WRITE_MOST, b->bytes);
}

static void part_write(const block *b, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        b->ptr[i] = content(b->seed, i);
}

static void part_check(const block *b, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        REQUIRE_THAT(b->ptr[i] == content(b->seed, i),
                     "byte %zu of the block %p of %zu bytes of resource %u has changed", i, (void *)b->ptr,
                     b->bytes, b->resource);
}

void block_write(const block *b)
{
    block_visit(b, part_write);
}

void block_check(const block *b)
{
    if (!b->hidden)
        block_visit(b, part_check);
}

/* The first byte of a block that shares its group of eight, which is what poison can cover, with no other block.
 */
static const unsigned char *first_apart(const block *b)
{
    return b->ptr + (0 - (uintptr_t)b->ptr) % 8;
}

void block_end(block *b)
{
    b->garbage = true;
    b->hidden = TOOLS && POISON;
    REQUIRE_THAT(!b->hidden || b->bytes < 16 || IS_POISONED(first_apart(b)),
                 "the block %p has ended, and is still accessible", (void *)b->ptr);
}

void model_check_hidden(const model *m, unsigned resource)
{
    const subject *s = &m->subjects[resource];
    if (!(TOOLS && POISON) || !s->watched || s->supply.base != NULL)
        return;
    for (size_t i = 0; i < m->blocks.count; i++) {
        const block *b = &m->blocks.items[i];
        REQUIRE_THAT(b->resource != resource || b->bytes < 16 || IS_POISONED(first_apart(b)),
                     "the block %p is from before the end of all blocks, and is still accessible", (void *)b->ptr);
    }
}

static void *grown(void *items, size_t *room, size_t size)
{
    *room = *room == 0 ? 256 : 2 * *room;
    items = realloc(items, *room * size);
    if (items == NULL)
        abort();
    return items;
}

void blocks_push(blocks *list, block b)
{
    if (list->count == list->room)
        list->items = grown(list->items, &list->room, sizeof *list->items);
    list->items[list->count++] = b;
}

/* How many items begin below `address`. */
static size_t order_rank(const model *m, uintptr_t address, size_t count)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)m->blocks.items[m->order[middle]].ptr < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void require_apart(const block *a, const block *b)
{
    REQUIRE_THAT((uintptr_t)a->ptr + a->bytes <= (uintptr_t)b->ptr,
                 "the block %p of %zu bytes of resource %u overlaps %p of resource %u", (void *)a->ptr, a->bytes,
                 a->resource, (void *)b->ptr, b->resource);
}

static void require_room(const model *m, size_t rank)
{
    const block *items = m->blocks.items;
    if (rank != 0)
        require_apart(&items[m->order[rank - 1]], &items[m->order[rank]]);
    if (rank + 1 < m->blocks.count)
        require_apart(&items[m->order[rank]], &items[m->order[rank + 1]]);
}

void model_add(model *m, block b)
{
    size_t count = m->blocks.count;
    size_t rank = order_rank(m, (uintptr_t)b.ptr, count);
    blocks_push(&m->blocks, b);
    while (m->order_room < m->blocks.count)
        m->order = grown(m->order, &m->order_room, sizeof *m->order);
    memmove(m->order + rank + 1, m->order + rank, (count - rank) * sizeof *m->order);
    m->order[rank] = count;
    require_room(m, rank);
}

block *model_block(model *m, const void *ptr)
{
    size_t rank = order_rank(m, (uintptr_t)ptr, m->blocks.count);
    if (rank == m->blocks.count || m->blocks.items[m->order[rank]].ptr != ptr)
        return NULL;
    return &m->blocks.items[m->order[rank]];
}

void model_resized(model *m, block *b, size_t bytes)
{
    b->bytes = bytes;
    b->most = bytes > b->most ? bytes : b->most;
    require_room(m, order_rank(m, (uintptr_t)b->ptr, m->blocks.count));
}

void model_check_blocks(const model *m, unsigned resource)
{
    for (size_t i = 0; i < m->blocks.count; i++)
        if (m->blocks.items[i].resource == resource)
            block_check(&m->blocks.items[i]);
}

void model_forget(model *m, unsigned resource)
{
    size_t kept = 0;
    size_t ordered = 0;
    size_t *place = malloc((m->blocks.count + 1) * sizeof *place);
    if (place == NULL)
        abort();
    for (size_t i = 0; i < m->blocks.count; i++) {
        place[i] = SIZE_MAX;
        if (m->blocks.items[i].resource != resource) {
            place[i] = kept;
            m->blocks.items[kept++] = m->blocks.items[i];
        }
    }
    for (size_t i = 0; i < m->blocks.count; i++)
        if (place[m->order[i]] != SIZE_MAX)
            m->order[ordered++] = place[m->order[i]];
    m->blocks.count = kept;
    free(place);

    subject *s = &m->subjects[resource];
    bool small = true;
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g)) {
        g->next = 0;
        small = small && grant_capacity(g) < CHUNK_LANES_FROM;
    }
    s->exact = s->watched && (small || (s->flags & TSMBR_SHARED_ONLY) != 0) && !has_zones(s);
    s->lanes_used = false;
    s->abandoned = 0;
    s->hidden_bytes = 0;
    s->refusals_before = s->supply.refusals;
    s->records = 0;
    s->frame.count = 0;
    s->frame.grant_count = 0;
    s->frame.broken = false;
    s->frame.first = false;
    for (unsigned i = 0; i < LANES; i++)
        if (m->lane_states[i] == LANE_OPEN && m->lane_resource[i] == resource)
            m->lane_states[i] = LANE_DEAD;
}

/* --------------------------------------------------------------------------------- the account -- */

bool has_zones(const subject *s)
{
    return TOOLS && POISON && (s->flags & TSMBR_RED_ZONES) != 0;
}

/* A library for tools keeps the end aside. */
size_t lane_left(const tsmbr_lane *lane)
{
    return (size_t)(lane->end - lane->cursor) + (TOOLS ? lane->tools[0] : 0);
}

enum { GROUP = 8, ZONE = 16 };

/* The most that a block takes, with padding, and a zone and the rest of a group where there are zones. */
static size_t most_taken(const subject *s, const block *b)
{
    size_t alignment = has_zones(s) && b->alignment < GROUP ? GROUP : b->alignment;
    /* An alignment of 2^40 has padding, but in a chunk that is held. */
    size_t padding = alignment - 1 < (size_t)1 << 30 ? alignment - 1 : (size_t)1 << 30;
    return b->most + padding + (has_zones(s) ? GROUP - 1 + ZONE : 0);
}

uintptr_t place_of(const grant *g, size_t next, size_t bytes, size_t alignment)
{
    uintptr_t at = (uintptr_t)g->base + next;
    size_t room = grant_capacity(g) - next;
    size_t padding = (0 - at) & (alignment - 1);
    return padding <= room && bytes <= room - padding ? at + padding : 0;
}

size_t room_under_limit(const subject *s)
{
    return s->limit > s->seen.reserved_bytes ? s->limit - s->seen.reserved_bytes : 0;
}

size_t probe_next(const subject *s, const grant *g)
{
    size_t low = 0;
    size_t high = grant_capacity(g);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tsmbr_owns(&s->resource, g->base + middle))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void model_check_owns(model *m, unsigned resource)
{
    const subject *s = &m->subjects[resource];
    int outside = 0;
    REQUIRE_THAT(!tsmbr_owns(&s->resource, NULL) && !tsmbr_owns(&s->resource, &outside),
                 "a resource owns what is not its own");
    for (size_t i = 0; i < m->blocks.count; i++) {
        const block *b = &m->blocks.items[i];
        bool owned = tsmbr_owns(&s->resource, b->ptr) && tsmbr_owns(&s->resource, b->ptr + b->bytes - 1);
        REQUIRE_THAT(owned == (b->resource == resource), "owns is wrong about %p", (void *)b->ptr);
    }
    if (!s->exact)
        return;
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g)) {
        size_t next = probe_next(s, g);
        REQUIRE_THAT(next == g->next, "owns has %zu bytes of a chunk, %zu are handed out", next, g->next);
    }
}

/* What chunks that are left behind cannot hand out: all of them but the current one are, which may be any; but
 * where something was refused, blocks may be in chunks that are still to become current. */
static void account_of_waste(const subject *s, const tsmbr_statistics *now)
{
    size_t ends = 0;
    size_t largest = 0;
    size_t capacity = 0;
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g)) {
        size_t end = grant_capacity(g) - g->next;
        capacity += grant_capacity(g);
        if (s->exact && g->next != 0 && s->limit == 0 && s->supply.refusals == s->refusals_before) {
            ends += end;
            largest = end > largest ? end : largest;
        }
    }
    REQUIRE_THAT(now->allocated_bytes + now->wasted_bytes <= capacity,
                 "%zu bytes allocated and %zu wasted of %zu bytes in chunks", now->allocated_bytes,
                 now->wasted_bytes, capacity);
    REQUIRE_THAT(now->wasted_bytes >= ends - largest, "%zu bytes wasted, at least %zu are", now->wasted_bytes,
                 ends - largest);
}

static void account_of_grants(const subject *s, const tsmbr_statistics *now, bool crowded)
{
    const supply *u = &s->supply;
    REQUIRE_THAT(now->reserved_bytes == u->held && now->chunks == u->live,
                 "%zu bytes in %zu chunks reserved; the upstream has granted %zu in %zu", now->reserved_bytes,
                 now->chunks, u->held, u->live);
    /* Among threads there may have been surplus chunks, which do not count. */
    bool right = crowded ? now->peak_reserved_bytes <= u->peak && now->peak_reserved_bytes >= now->reserved_bytes
                         : now->peak_reserved_bytes == u->peak;
    REQUIRE_THAT(right, "a peak of %zu bytes; the upstream's is %zu", now->peak_reserved_bytes, u->peak);
    REQUIRE_THAT(crowded || now->lost_races == 0, "one thread lost %zu races", now->lost_races);
    REQUIRE_THAT(s->limit == 0 || u->peak <= s->limit, "%zu bytes held under a limit of %zu", u->peak, s->limit);
}

void model_account(model *m, unsigned resource)
{
    subject *s = &m->subjects[resource];
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->resource, &now);
    REQUIRE_THAT(now.lost_races >= s->seen.lost_races, "lost_races fell");
    REQUIRE_THAT(now.peak_reserved_bytes >= s->seen.peak_reserved_bytes, "the peak fell");

    size_t least = s->records * 3 * sizeof(void *);
    size_t most = least + s->records * (_Alignof(void *) - 1) + s->abandoned + s->hidden_bytes;
    if (has_zones(s)) /* records of cleanups are blocks */
        most += s->records * (GROUP - 1 + ZONE);
    for (size_t i = 0; i < m->blocks.count; i++) {
        const block *b = &m->blocks.items[i];
        if (b->resource != resource)
            continue;
        least += b->bytes;
        most += most_taken(s, b);
    }
    for (unsigned i = 0; i < LANES; i++)
        if (m->lane_states[i] == LANE_OPEN && m->lane_resource[i] == resource)
            most += lane_left(&m->lanes[i]);
    REQUIRE_THAT(now.allocated_bytes >= least && now.allocated_bytes <= most,
                 "allocated_bytes is %zu, blocks have %zu and with padding at most %zu", now.allocated_bytes,
                 least, most);
    if (s->exact) {
        size_t exactly = 0;
        for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
            exactly += g->next;
        REQUIRE_THAT(now.allocated_bytes == exactly, "allocated_bytes is %zu, %zu are", now.allocated_bytes,
                     exactly);
    }
    if (s->watched) {
        account_of_grants(s, &now, m->crowded);
        account_of_waste(s, &now);
    }
    s->seen = now;
}

/* ---------------------------------------------------------------------------------- resources -- */

/* All zero but for this: a resource with every default. */
static void subject_open(subject *s, unsigned index)
{
    memset(s, 0, sizeof *s);
    s->index = index;
    s->wrapped.otherwise = call_fallback;
    s->wrapped.context = s;
}

void model_open(model *m)
{
    blocks list = m->blocks;
    size_t *order = m->order;
    size_t room = m->order_room;
    memset(m, 0, sizeof *m);
    m->blocks = list;
    m->blocks.count = 0;
    m->order = order;
    m->order_room = room;
    for (unsigned i = 0; i < RESOURCES; i++) {
        subject_open(&m->subjects[i], i);
        supply_open(&m->subjects[i].supply, NULL);
    }
}

static const tsmbr_upstream *upstream_of(subject *s, unsigned which)
{
    static const tsmbr_upstream *(*const bases[])(void) = {tsmbr_malloc_upstream, tsmbr_system_upstream,
                                                           tsmbr_prefault_upstream, tsmbr_guarded_upstream};
    s->watched = which < 12;
    s->barren = which == 12;
    supply_open(&s->supply, which >= 8 && which < 12 ? bases[which - 8]() : NULL);
    if (which < 12)
        return &s->supply.upstream;
    return which == 12 ? tsmbr_null_upstream() : which == 13 ? tsmbr_system_upstream() : NULL;
}

/* Spoil a good config. */
static void config_spoil(tsmbr_config *config, tsmbr_upstream *broken, unsigned mistake)
{
    *broken = *tsmbr_malloc_upstream();
    if (mistake == 1 || mistake == 2)
        config->upstream = broken;
    if (mistake == 1)
        broken->allocate = NULL;
    if (mistake == 2)
        broken->deallocate = NULL;
    if (mistake == 3)
        config->flags = 8u;
    if (mistake == 4) {
        config->buffer = NULL;
        config->buffer_size = 1;
    }
    if (mistake == 5) {
        config->buffer = broken;
        config->buffer_size = SIZE_MAX - (uintptr_t)broken + 1;
    }
}

void model_init(model *m, unsigned index, const plan *p)
{
    subject *s = &m->subjects[index];
    model_destroy(m, index);
    subject_open(s, index);
    s->upstream = upstream_of(s, p->upstream);
    s->supply.misalign = p->misalign;
    s->supply.gap = p->gap;
    tsmbr_config config = {
        .upstream = s->upstream, .initial_size = p->initial_size, .limit = p->limit, .flags = p->flags};
    if (p->buffer_bytes != SIZE_MAX) {
        config.buffer = supply_buffer(&s->supply, p->buffer_bytes);
        config.buffer_size = config.buffer != NULL ? p->buffer_bytes : 0;
    }
    tsmbr_upstream broken;
    if (p->mistake != 0)
        config_spoil(&config, &broken, p->mistake);
    errno = EDOM;
    int result = tsmbr_init(&s->resource, p->mistake == 6 ? NULL : &config);
    bool bad = p->mistake >= 1 && p->mistake <= 5;
    REQUIRE_THAT(result == (bad ? EINVAL : 0) && errno == (bad ? EINVAL : EDOM), "init: %d, errno %d", result,
                 errno);
    if (p->mistake != 0) {
        s->watched = s->barren = false;
        s->upstream = NULL;
    } else {
        s->limit = p->limit;
        s->flags = p->flags;
        s->buffer_bytes = config.buffer_size;
    }
    REQUIRE_THAT(tsmbr_upstream_resource(&s->resource) ==
                     (s->upstream != NULL ? s->upstream : tsmbr_system_upstream()),
                 "a resource with another upstream than it was made with");
    REQUIRE_THAT(s->supply.calls == 0, "init asked the upstream for memory");
    model_forget(m, index);
    s->frame.first = true;
    model_account(m, index);
}

void model_close(model *m)
{
    for (unsigned i = 0; i < RESOURCES; i++)
        model_destroy(m, i);
    supply_tidy();
}
