/* calls.c - one call of the library: how it is made, and the judgement on it. */
#include "calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 4096, SHORT_TEXT = 64, SOURCE = 1 << 16 };
static const size_t SLACK = 256; /* a chunk for a block is at most so much larger, besides its padding */

static const char *const kind_names[CALL_KINDS] = {"allocate",
                                                   "try_allocate",
                                                   "allocate_from",
                                                   "allocate_from NULL",
                                                   "allocate_or_call",
                                                   "allocate_array",
                                                   "calloc",
                                                   "memdup",
                                                   "strdup",
                                                   "strndup",
                                                   "printf",
                                                   "lane_allocate",
                                                   "lane_try_allocate",
                                                   "reallocate",
                                                   "try_resize",
                                                   "lane_open",
                                                   "lane_close",
                                                   "on_release",
                                                   "vprintf",
                                                   "reserve"};

static bool alignment_ok(size_t alignment)
{
    return alignment != 0 && (alignment & (alignment - 1)) == 0;
}

bool call_shape(const call *c, size_t *bytes, size_t *alignment)
{
    *bytes = c->bytes;
    *alignment = c->alignment;
    if (c->kind == CALL_CALLOC || c->kind == CALL_MEMDUP)
        *alignment = _Alignof(max_align_t);
    if (c->kind == CALL_STRDUP || c->kind == CALL_PRINTF || c->kind == CALL_VPRINTF) {
        *bytes = c->bytes % TEXT + 1;
        *alignment = 1;
    }
    if (c->kind == CALL_STRNDUP) {
        *bytes = (c->bytes < TEXT ? c->bytes : TEXT - 1) + 1;
        *alignment = 1;
    }
    if (c->kind != CALL_CALLOC && c->kind != CALL_ARRAY)
        return true;
    *bytes = c->bytes * c->count;
    return c->count == 0 || c->bytes <= SIZE_MAX / c->count;
}

/* ------------------------------------------------------------------------------------- making -- */

typedef struct fallback {
    subject *s;
    const call *c;
    bool concurrent;
    bool called;
    size_t calls; /* of the upstream when it was called */
} fallback;

/* What this thread's call would fall back on. */
static _Thread_local fallback *present;

void *call_fallback(void *context, size_t bytes, size_t alignment)
{
    fallback *f = present;
    REQUIRE_THAT(f != NULL && context == f->s, "the fallback was called out of turn, or with another's context");
    REQUIRE_THAT(!f->called && bytes == f->c->bytes && alignment == f->c->alignment,
                 "the fallback was called for %zu bytes at alignment %zu", bytes, alignment);
    f->called = true;
    if (!f->concurrent)
        f->calls = f->s->supply.calls;
    return f->c->count == 0 ? NULL : tsmbr_allocate(&f->s->resource, bytes, alignment);
}

static char text[TEXT];          /* of TEXT - 1 characters */
static char endless[SHORT_TEXT]; /* strndup must not look beyond it */

void calls_open(void)
{
    memset(text, 't', sizeof text - 1);
    memset(endless, 't', sizeof endless);
}

static char *print(tsmbr_resource *resource, const char *format, ...) TSMBR_PRINTF(2, 3);
static char *print(tsmbr_resource *resource, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *copy = tsmbr_vprintf(resource, format, arguments);
    va_end(arguments);
    return copy;
}

/* Copies and texts, with their contents looked at. */
static void *make_copy(subject *s, const call *c)
{
    static const unsigned char source[SOURCE] = {1, 2, 3, [SOURCE - 1] = 9};
    if (c->kind == CALL_MEMDUP) {
        void *copy = tsmbr_memdup(&s->resource, source, c->bytes);
        REQUIRE_THAT(copy == NULL || memcmp(copy, source, c->bytes) == 0, "memdup copied something else");
        return copy;
    }
    size_t bytes = 0;
    size_t alignment = 0;
    (void)call_shape(c, &bytes, &alignment);
    const char *end_of_text = text + (TEXT - bytes);
    char *copy = NULL;
    if (c->kind == CALL_STRDUP)
        copy = tsmbr_strdup(&s->resource, end_of_text);
    else if (c->kind == CALL_PRINTF)
        copy = tsmbr_printf(&s->resource, "%s", end_of_text);
    else if (c->kind == CALL_VPRINTF)
        copy = print(&s->resource, "%.*s", (int)bytes - 1, text);
    else if (c->bytes <= SHORT_TEXT)
        copy = tsmbr_strndup(&s->resource, endless + SHORT_TEXT - c->bytes, c->bytes);
    else
        copy = tsmbr_strndup(&s->resource, text, c->bytes);
    if (copy != NULL)
        REQUIRE_THAT(strlen(copy) == bytes - 1 && memcmp(copy, text, bytes - 1) == 0,
                     "a text of %zu bytes is another one", bytes);
    return copy;
}

static void *make_cleared(subject *s, const call *c)
{
    unsigned char *ptr = tsmbr_calloc(&s->resource, c->count, c->bytes);
    for (size_t i = 0; ptr != NULL && i < c->count * c->bytes; i++)
        REQUIRE_THAT(ptr[i] == 0, "calloc left byte %zu as it was", i);
    return ptr;
}

static void *make(actor *a, subject *s, const call *c)
{
    tsmbr_resource *r = &s->resource;
    tsmbr_lane *lane = &a->m->lanes[c->lane];
    switch (c->kind) {
    case CALL_ALLOCATE:
        return tsmbr_allocate(r, c->bytes, c->alignment);
    case CALL_TRY:
        return tsmbr_try_allocate(r, c->bytes, c->alignment);
    case CALL_FROM:
        return tsmbr_allocate_from(r, c->bytes, c->alignment,
                                   s->watched ? &s->supply.second : tsmbr_upstream_resource(r));
    case CALL_FROM_HELD:
        return tsmbr_allocate_from(r, c->bytes, c->alignment, NULL);
    case CALL_OR_CALL:
        return tsmbr_allocate_or_call(&s->wrapped, c->bytes, c->alignment);
    case CALL_ARRAY:
        return tsmbr_allocate_array(r, c->count, c->bytes, c->alignment);
    case CALL_CALLOC:
        return make_cleared(s, c);
    case CALL_MEMDUP:
    case CALL_STRDUP:
    case CALL_STRNDUP:
    case CALL_PRINTF:
    case CALL_VPRINTF:
        return make_copy(s, c);
    case CALL_LANE:
        return tsmbr_lane_allocate(lane, c->bytes, c->alignment);
    case CALL_LANE_TRY:
        return tsmbr_lane_try_allocate(lane, c->bytes, c->alignment);
    case CALL_REALLOCATE:
        return tsmbr_reallocate(r, c->ptr, c->old_bytes, c->bytes, c->alignment);
    case CALL_RESIZE:
        return tsmbr_try_resize(r, c->ptr, c->old_bytes, c->bytes) ? c->ptr : NULL;
    case CALL_LANE_OPEN:
        tsmbr_lane_open(lane, r);
        return NULL;
    case CALL_LANE_CLOSE:
        tsmbr_lane_close(lane);
        return NULL;
    case CALL_ON_RELEASE:
    case CALL_RESERVE:
    case CALL_KINDS:
        break;
    }
    fail("call %d is not made here", (int)c->kind);
}

/* ------------------------------------------------------------------------------------ judging -- */

/* What was so before the call. */
typedef struct before {
    size_t calls;
    size_t refusals;
    size_t room; /* under the limit */
} before;

static bool call_asks(const call *c, const fallback *f)
{
    return c->kind != CALL_TRY && c->kind != CALL_FROM_HELD && c->kind != CALL_LANE_TRY &&
           c->kind != CALL_RESIZE && (c->kind != CALL_OR_CALL || (f->called && c->count != 0));
}

/* Whether a call that may ask the upstream for these bytes had to be refused, or may have had to be. */
static bool refusal_has_reason(const actor *a, const subject *s, const before *was, size_t bytes, size_t alignment)
{
    size_t most = (size_t)PTRDIFF_MAX - SLACK;
    if (s->barren || alignment > most || bytes > most - alignment)
        return true;
    size_t need = bytes + alignment + SLACK;
    if (!s->watched && need > (size_t)1 << 27)
        return true;
    if (a->m->concurrent) {
        supply_lock();
        bool refused = s->supply.refusals != 0;
        supply_unlock();
        return refused || s->limit != 0;
    }
    if (s->limit != 0 && was->room < need)
        return true;
    /* A chunk that is larger than it needs may be refused; then the upstream is asked for just enough. */
    return s->supply.least_refused <= need;
}

/* Without lanes: NULL is said only if no chunk that is held has room. */
static void require_full(const subject *s, size_t bytes, size_t alignment)
{
    for (grant *g = supply_next(&s->supply, NULL); g != NULL && s->exact; g = supply_next(&s->supply, g))
        REQUIRE_THAT(place_of(g, g->next, bytes, alignment) == 0,
                     "refused %zu bytes at alignment %zu though a chunk has room: %zu of %zu are handed out",
                     bytes, alignment, g->next, grant_capacity(g));
}

static void judge_refusal(actor *a, const call *c, const fallback *f, const before *was)
{
    a->refusals++;
    subject *s = &a->m->subjects[c->resource];
    size_t bytes = 0;
    size_t alignment = 0;
    bool sized = call_shape(c, &bytes, &alignment);
    int expected = !alignment_ok(alignment) ? EINVAL : ENOMEM;
    if (c->kind == CALL_TRY || c->kind == CALL_LANE_TRY || c->kind == CALL_RESIZE ||
        (c->kind == CALL_OR_CALL && c->count == 0))
        expected = EDOM;
    REQUIRE_THAT(errno == expected, "%s refused with errno %d, not %d", kind_names[c->kind], errno, expected);
    bytes = bytes == 0 ? 1 : bytes;
    if (sized && alignment_ok(alignment) && call_asks(c, f)) {
        REQUIRE_THAT(refusal_has_reason(a, s, was, bytes, alignment),
                     "%s of %zu bytes at alignment %zu refused without a reason", kind_names[c->kind], bytes,
                     alignment);
        if (!a->m->concurrent)
            require_full(s, bytes, alignment);
    }
    if (a->m->concurrent)
        return;
    s->frame.broken = true;
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->resource, &now);
    REQUIRE_THAT(now.allocated_bytes == s->seen.allocated_bytes && now.reserved_bytes == s->seen.reserved_bytes &&
                     now.chunks == s->seen.chunks,
                 "a refused %s has changed something", kind_names[c->kind]);
}

grant *require_held(const subject *s, unsigned char *ptr, size_t bytes)
{
    if (!s->watched)
        return NULL;
    grant *g = supply_find(&s->supply, ptr, bytes);
    REQUIRE_THAT(g != NULL, "the block %p of %zu bytes is not in memory of its resource", (void *)ptr, bytes);
    REQUIRE_THAT((size_t)(ptr - g->base) + bytes <= grant_capacity(g),
                 "the block %p of %zu bytes reaches into its chunk's record", (void *)ptr, bytes);
    return g;
}

/* What a tool lets its block's owner touch: that, and nothing behind it where there are zones. */
static void require_zone(const subject *s, const block *b)
{
    if (has_zones(s))
        REQUIRE_THAT(IS_POISONED(b->ptr + b->bytes), "the byte behind the block %p of %zu bytes is accessible",
                     (void *)b->ptr, b->bytes);
}

static void judge_new_block(actor *a, const call *c)
{
    subject *s = &a->m->subjects[c->resource];
    size_t bytes = 0;
    size_t alignment = 0;
    REQUIRE_THAT(call_shape(c, &bytes, &alignment) && alignment_ok(alignment), "%s served what it must refuse",
                 kind_names[c->kind]);
    block b = {.ptr = c->result, .asked = bytes, .alignment = alignment, .resource = (uint8_t)c->resource};
    b.bytes = b.most = bytes == 0 ? 1 : bytes;
    REQUIRE_THAT((uintptr_t)b.ptr % alignment == 0, "the block %p is not aligned to %zu", c->result, alignment);
    require_zone(s, &b);
    if (a->m->concurrent) {
        b.seed = a->seed += 0x9E3779B1u;
        blocks_push(a->mine, b);
        block_write(&b);
        return;
    }
    grant *g = require_held(s, b.ptr, b.bytes);
    REQUIRE_THAT(tsmbr_owns(&s->resource, b.ptr) && tsmbr_owns(&s->resource, b.ptr + b.bytes - 1),
                 "the resource does not own %p, which it has handed out", c->result);
    if (s->exact && g != NULL && grant_capacity(g) >= CHUNK_LANES_FROM && (s->flags & TSMBR_SHARED_ONLY) == 0)
        s->exact = false;
    if (s->exact && g != NULL) {
        uintptr_t place = place_of(g, g->next, b.bytes, alignment);
        REQUIRE_THAT((uintptr_t)b.ptr == place, "the block %p of %zu bytes should be %zu bytes into its chunk",
                     c->result, b.bytes, (size_t)(place - (uintptr_t)g->base));
        g->next = (size_t)(b.ptr - g->base) + b.bytes;
    }
    b.seed = a->m->seed += 0x9E3779B1u;
    model_add(a->m, b);
    block_write(&b);
}

/* Whether the resource holds this one chunk, and it must be the current one: a chunk from the upstream might have
 * been for one large block. */
static bool is_all(const subject *s, const grant *g)
{
    const grant *first = supply_next(&s->supply, NULL);
    return g->buffer && g == first && supply_next(&s->supply, first) == NULL;
}

/* Without lanes: where the chunk's handed-out part ends now that a block has another size. */
static void judge_exact_resize(subject *s, grant *g, const block *b, size_t old_end, size_t new_end)
{
    bool last = g->next == old_end;
    if (new_end > old_end) {
        REQUIRE_THAT(last, "the block %p grew in place, but it is not the last", (void *)b->ptr);
        g->next = new_end;
    } else if (new_end < old_end && last) {
        tsmbr_statistics now;
        tsmbr_get_statistics(&s->resource, &now);
        size_t given_up = s->seen.allocated_bytes - now.allocated_bytes;
        REQUIRE_THAT(given_up == old_end - new_end || (given_up == 0 && !is_all(s, g)),
                     "%zu bytes given up, not %zu", given_up, old_end - new_end);
        if (given_up != 0)
            g->next = new_end;
    }
}

/* What the old and the new block have in common is still there, as far as it was written. */
static void require_beginning(const block *old, void *ptr, const call *c)
{
    block common = *old;
    common.ptr = ptr;
    common.bytes = c->old_bytes < c->bytes ? c->old_bytes : c->bytes;
    if (common.bytes > BLOCK_WRITE_MOST)
        common.bytes = BLOCK_WRITE_MOST;
    block_check(&common);
}

/* A block has another size, at the same place. */
static void judge_resized(actor *a, const call *c, block *b)
{
    subject *s = &a->m->subjects[c->resource];
    size_t bytes = c->bytes == 0 ? 1 : c->bytes;
    size_t old_bytes = b->bytes;
    require_beginning(b, b->ptr, c);
    b->asked = c->bytes;
    if (a->m->concurrent) {
        b->bytes = bytes;
        b->most = bytes > b->most ? bytes : b->most;
        block_write(b);
        return;
    }
    grant *g = require_held(s, b->ptr, bytes);
    model_resized(a->m, b, bytes);
    require_zone(s, b);
    block_write(b);
    if (s->exact && g != NULL) {
        size_t begin = (size_t)(b->ptr - g->base);
        judge_exact_resize(s, g, b, begin + old_bytes, begin + bytes);
    }
}

/* In place, or in a new block with the old contents. */
static void judge_reallocated(actor *a, const call *c, block *old)
{
    if (old != NULL && c->result == old->ptr) {
        REQUIRE_THAT((uintptr_t)c->result % c->alignment == 0, "a reallocated block is not aligned");
        judge_resized(a, c, old);
        return;
    }
    if (old != NULL) {
        block_check(old);
        require_beginning(old, c->result, c);
        old->garbage = true;
    }
    judge_new_block(a, c);
}

/* Whether a block must grow, as far as the model can know. */
static bool must_grow(const subject *s, const block *old, size_t bytes)
{
    grant *g = supply_next(&s->supply, NULL);
    if (!s->exact || g == NULL || !is_all(s, g))
        return false;
    size_t begin = (size_t)(old->ptr - g->base);
    return begin + old->bytes == g->next && bytes <= grant_capacity(g) - begin;
}

static void judge(actor *a, const call *c, block *old, const fallback *f, const before *was)
{
    subject *s = &a->m->subjects[c->resource];
    if (!a->m->concurrent) {
        REQUIRE_THAT(call_asks(c, f) || s->supply.calls == was->calls, "%s asked the upstream",
                     kind_names[c->kind]);
        REQUIRE_THAT(!f->called || f->calls == was->calls, "the upstream was asked before the fallback");
    }
    if (c->result == NULL) {
        size_t bytes = c->bytes == 0 ? 1 : c->bytes;
        if (c->kind == CALL_RESIZE)
            REQUIRE_THAT(bytes > old->bytes && (a->m->concurrent || !must_grow(s, old, bytes)),
                         "a block of %zu bytes could have had %zu", old->bytes, bytes);
        judge_refusal(a, c, f, was);
        return;
    }
    REQUIRE_THAT(errno == EDOM, "a successful %s has set errno to %d", kind_names[c->kind], errno);
    if (c->kind == CALL_RESIZE)
        judge_resized(a, c, old);
    else if (c->kind == CALL_REALLOCATE)
        judge_reallocated(a, c, old);
    else
        judge_new_block(a, c);
}

/* ------------------------------------------------------------------------------------- a call -- */

/* Lanes as the model has them. True if the call has an effect on nothing else. */
static bool lane_call(actor *a, const call *c)
{
    model *m = a->m;
    subject *s = &m->subjects[c->resource];
    if (c->kind != CALL_LANE_OPEN && c->kind != CALL_LANE_CLOSE)
        return false;
    tsmbr_lane *lane = &m->lanes[c->lane];
    if (m->concurrent) {
        (void)make(a, s, c);
        m->lane_states[c->lane] = c->kind == CALL_LANE_OPEN ? LANE_OPEN : LANE_CLOSED;
        m->lane_resource[c->lane] = c->resource;
        return true;
    }
    if (m->lane_states[c->lane] == LANE_OPEN && c->kind == CALL_LANE_OPEN) {
        subject *left = &m->subjects[m->lane_resource[c->lane]];
        left->abandoned += lane_left(lane);
        left->frame.broken = true;
    }
    size_t calls = s->supply.calls;
    (void)make(a, s, c);
    REQUIRE_THAT(s->supply.calls == calls, "%s asked the upstream", kind_names[c->kind]);
    if (c->kind == CALL_LANE_CLOSE) {
        REQUIRE_THAT(lane->cursor == NULL && lane->end == NULL && lane->resource == NULL,
                     "a closed lane has bytes");
        m->lane_states[c->lane] = LANE_CLOSED;
    } else {
        m->lane_states[c->lane] = LANE_OPEN;
        m->lane_resource[c->lane] = c->resource;
        s->lanes_used = true;
        s->exact = false;
    }
    return true;
}

void call_note(subject *s, const call *c, size_t calls, size_t refusals)
{
    frame *f = &s->frame;
    if (f->count == FRAME_CALLS || f->grant_count == FRAME_GRANTS) {
        f->broken = true;
        return;
    }
    f->calls[f->count++] = *c;
    if (s->supply.calls != calls)
        f->grants[f->grant_count++] = s->supply.last_bytes;
    if (s->supply.refusals != refusals)
        f->broken = true;
}

void *call_make(actor *a, call *c, block *old)
{
    subject *s = &a->m->subjects[c->resource];
    tell_of("  %u: %s(%zu x %zu, %zu) lane %u old %p %zu", c->resource, kind_names[c->kind], c->count, c->bytes,
            c->alignment, c->lane, c->ptr, c->old_bytes);
    before was = {0};
    if (!a->m->concurrent) {
        was.calls = s->supply.calls;
        was.refusals = s->supply.refusals;
        was.room = room_under_limit(s);
        s->supply.least_refused = SIZE_MAX;
    }
    fallback f = {.s = s, .c = c, .concurrent = a->m->concurrent};
    if (!lane_call(a, c)) {
        errno = EDOM;
        present = &f;
        c->result = make(a, s, c);
        present = NULL;
        judge(a, c, old, &f, &was);
    }
    tell_of(" -> %p\n", c->result);
    if (!a->m->concurrent) {
        model_account(a->m, c->resource);
        call_note(s, c, was.calls, was.refusals);
    }
    return c->result;
}

void call_deallocate(actor *a, block *b)
{
    tell_of("  %u: deallocate(%p, %zu, %zu)\n", b->resource, (void *)b->ptr, b->asked, b->alignment);
    block_check(b);
    errno = EDOM;
    tsmbr_deallocate(&a->m->subjects[b->resource].resource, b->ptr, b->asked, b->alignment);
    REQUIRE_THAT(errno == EDOM, "deallocate has set errno to %d", errno);
    block_end(b);
}
