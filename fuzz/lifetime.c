/* lifetime.c - reset, release, destroy, reserve, cleanups: made and judged. */
#include "lifetime.h"

#include <errno.h>
#include <string.h>
#include <wchar.h>

/* ------------------------------------------------------------------------------------ cleanups -- */

static void run_cleanup(void *argument)
{
    cleanup_note *note = argument;
    subject *s = &note->m->subjects[note->resource];
    REQUIRE_THAT(s->cleanups_due != 0 && note == &s->cleanups[s->cleanups_due - 1],
                 "cleanup %u ran, %zu are due: not the latest", note->index, s->cleanups_due);
    s->cleanups_due--;
    unsigned kind = note->kind;
    actor a = {.m = note->m};
    if (kind == 1) {
        call c = {.kind = CALL_ALLOCATE, .resource = note->resource, .bytes = 40, .count = 1, .alignment = 8};
        (void)call_make(&a, &c, NULL);
    } else if (kind == 2) {
        lifetime_on_release(&a, note->resource, 0);
    }
}

/* Without lanes: the chunk that has the new cleanup's record is the one that has more bytes than before. */
static void note_record(subject *s)
{
    size_t grown = 0;
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g)) {
        size_t next = probe_next(s, g);
        if (next == g->next)
            continue;
        uintptr_t place = place_of(g, g->next, 3 * sizeof(void *), _Alignof(void *));
        REQUIRE_THAT((uintptr_t)g->base + next == place + 3 * sizeof(void *),
                     "a cleanup's record took a chunk from %zu to %zu bytes", g->next, next);
        g->next = next;
        grown++;
    }
    REQUIRE_THAT(grown == 1, "a cleanup's record took bytes of %zu chunks", grown);
}

void lifetime_on_release(actor *a, unsigned resource, unsigned kind)
{
    subject *s = &a->m->subjects[resource];
    if (s->cleanups_due == CLEANUPS)
        return;
    cleanup_note *note = &s->cleanups[s->cleanups_due];
    *note = (cleanup_note){a->m, (uint8_t)resource, (uint8_t)s->cleanups_due, (uint8_t)kind};
    size_t room = room_under_limit(s);
    s->supply.least_refused = SIZE_MAX;
    s->frame.broken = true;
    errno = EDOM;
    int result = tsmbr_on_release(&s->resource, run_cleanup, note);
    tell_of("  %u: on_release(kind %u) -> %d\n", resource, kind, result);
    REQUIRE_THAT((result == 0 && errno == EDOM) || (result == ENOMEM && errno == ENOMEM),
                 "on_release: %d with errno %d", result, errno);
    if (result == 0) {
        s->cleanups_due++;
        s->records++;
        for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
            if (grant_capacity(g) >= CHUNK_LANES_FROM && (s->flags & TSMBR_SHARED_ONLY) == 0)
                s->exact = false;
        if (s->exact)
            note_record(s);
    } else {
        bool reason = s->barren || s->supply.least_refused <= 512 || (s->limit != 0 && room < 512);
        REQUIRE_THAT(reason, "on_release refused without a reason");
    }
    model_account(a->m, resource);
}

/* ------------------------------------------------------------------------------ reset, release -- */

/* After the call: the resource is empty, and holds `held` bytes. */
static void require_empty(actor *a, unsigned resource, const char *what)
{
    subject *s = &a->m->subjects[resource];
    REQUIRE_THAT(s->cleanups_due == 0, "%zu cleanups have not run at %s", s->cleanups_due, what);
    model_check_hidden(a->m, resource);
    model_forget(a->m, resource);
    model_account(a->m, resource);
    REQUIRE_THAT(s->seen.allocated_bytes == 0 && s->seen.wasted_bytes == 0,
                 "%zu bytes allocated and %zu wasted after %s", s->seen.allocated_bytes, s->seen.wasted_bytes,
                 what);
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
        REQUIRE_THAT(!tsmbr_owns(&s->resource, g->base), "a byte is owned after %s", what);
}

/* After the call the resource is as it was made. */
static void require_released(subject *s, const char *what)
{
    REQUIRE_THAT(s->supply.live == 0 && s->seen.chunks == 0 && s->seen.reserved_bytes == 0,
                 "%zu chunks are held after %s", s->supply.live, what);
    s->frame.first = true;
}

/* Neither the upstream's nor the cleanups' errno comes through. */
static void require_errno(const char *what)
{
    REQUIRE_THAT(errno == ECHILD, "%s has set errno to %d", what, errno);
}

void lifetime_reset(actor *a, unsigned resource, size_t keep_bytes)
{
    subject *s = &a->m->subjects[resource];
    tell_of("  %u: reset(%zu)\n", resource, keep_bytes);
    model_check_blocks(a->m, resource);
    supply_check();
    size_t held = s->supply.held;
    bool had_cleanups = s->cleanups_due != 0;
    s->supply.least_returned = SIZE_MAX;
    errno = ECHILD;
    tsmbr_reset(&s->resource, keep_bytes);
    require_errno("reset");
    require_empty(a, resource, "reset");
    if (!s->watched)
        return;
    if (keep_bytes == 0 || (s->flags & TSMBR_NO_RECYCLE) != 0) {
        require_released(s, "a reset that keeps nothing");
        return;
    }
    REQUIRE_THAT(s->supply.held <= keep_bytes, "reset kept %zu bytes, not %zu", s->supply.held, keep_bytes);
    if (s->supply.held != held && !had_cleanups)
        REQUIRE_THAT(s->supply.least_returned > keep_bytes - s->supply.held,
                     "reset kept %zu bytes of %zu and gave %zu back", s->supply.held, keep_bytes,
                     s->supply.least_returned);
}

void lifetime_release(actor *a, unsigned resource)
{
    subject *s = &a->m->subjects[resource];
    tell_of("  %u: release\n", resource);
    model_check_blocks(a->m, resource);
    supply_check();
    errno = ECHILD;
    tsmbr_release(&s->resource);
    require_errno("release");
    require_empty(a, resource, "release");
    require_released(s, "release");
}

/* All-zero bytes, padding too, or the mark of what must not be used: then this is memory for another resource. */
static void require_destroyed(tsmbr_resource *resource)
{
    static const unsigned char zeros[sizeof *resource];
    const unsigned char *bytes = (const unsigned char *)resource;
    bool clean = memcmp(bytes, zeros, sizeof zeros) == 0;
    REQUIRE_THAT(clean != TOOLS, "destroy leaves %s behind", clean ? "no mark" : "something");
    memset(resource, 0, sizeof *resource);
}

void model_destroy(model *m, unsigned index)
{
    subject *s = &m->subjects[index];
    tell_of("  %u: destroy\n", index);
    model_check_blocks(m, index);
    supply_check();
    errno = ECHILD;
    tsmbr_destroy(&s->resource);
    require_errno("destroy");
    REQUIRE_THAT(s->cleanups_due == 0, "%zu cleanups have not run at destroy", s->cleanups_due);
    require_destroyed(&s->resource);
    model_forget(m, index);
    supply_close(&s->supply);
    memset(&s->seen, 0, sizeof s->seen);
    s->limit = 0;
    s->flags = 0;
    s->watched = s->barren = s->exact = false;
    s->upstream = NULL;
    supply_open(&s->supply, NULL);
}

/* ------------------------------------------------------------------------------------- reserve -- */

static bool some_chunk_has(const subject *s, size_t bytes)
{
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
        if (bytes <= grant_capacity(g) - probe_next(s, g))
            return true;
    return bytes == 0;
}

void lifetime_reserve(actor *a, unsigned resource, size_t bytes)
{
    subject *s = &a->m->subjects[resource];
    size_t room = room_under_limit(s);
    s->supply.least_refused = SIZE_MAX;
    tsmbr_statistics was = s->seen;
    size_t calls = s->supply.calls;
    size_t refusals = s->supply.refusals;
    errno = EDOM;
    int result = tsmbr_reserve(&s->resource, bytes);
    tell_of("  %u: reserve(%zu) -> %d\n", resource, bytes, result);
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
        if (grant_capacity(g) >= CHUNK_LANES_FROM && (s->flags & TSMBR_SHARED_ONLY) == 0)
            s->exact = false;
    model_account(a->m, resource);
    call_note(s, &(call){.kind = CALL_RESERVE, .resource = resource, .bytes = bytes, .alignment = 1}, calls,
              refusals);
    REQUIRE_THAT(s->seen.allocated_bytes == was.allocated_bytes, "reserve allocated something");
    if (result == 0) {
        REQUIRE_THAT(errno == EDOM, "a successful reserve has set errno to %d", errno);
        REQUIRE_THAT(!s->watched || some_chunk_has(s, bytes), "reserve: no chunk has room for %zu bytes", bytes);
        return;
    }
    REQUIRE_THAT(result == ENOMEM && errno == ENOMEM, "reserve: %d with errno %d", result, errno);
    REQUIRE_THAT(s->seen.reserved_bytes == was.reserved_bytes, "a refused reserve has changed something");
    enum { BESIDES = 33 * 128 + 128 }; /* a table of lanes, the record and its place */
    size_t most = bytes < SIZE_MAX - BESIDES ? bytes + BESIDES : SIZE_MAX;
    bool reason =
        !s->watched || most > PTRDIFF_MAX || s->supply.least_refused <= most || (s->limit != 0 && room < most);
    REQUIRE_THAT(reason, "reserve of %zu bytes refused without a reason", bytes);
}

/* -------------------------------------------------------------------------------------- repeat -- */

static void repeat_call(actor *a, const call *before)
{
    call c = *before;
    if (c.kind == CALL_RESERVE) {
        lifetime_reserve(a, c.resource, c.bytes);
        return;
    }
    block *old = c.ptr != NULL ? model_block(a->m, c.ptr) : NULL;
    REQUIRE_THAT(c.ptr == NULL || old != NULL, "a repeated call has no old block");
    c.result = NULL;
    (void)call_make(a, &c, old);
}

static bool frame_repeatable(const subject *s, bool release)
{
    const frame *f = &s->frame;
    if (!s->watched || f->broken || f->count == 0 || s->limit != 0 || s->cleanups_due != 0 ||
        s->supply.fail_after != 0 || s->supply.fail_every != 0 || s->supply.refuse_above != 0)
        return false;
    if (!release)
        return true;
    /* At other addresses, as far apart from a line. */
    if (!f->first || s->supply.base != NULL || s->supply.gap == 0)
        return false;
    for (size_t i = 0; i < f->count; i++)
        if (f->calls[i].alignment > 64 || f->calls[i].ptr != NULL)
            return false;
    return true;
}

void lifetime_repeat(actor *a, unsigned resource, bool release)
{
    static frame was;
    subject *s = &a->m->subjects[resource];
    const bool keeps = (s->flags & TSMBR_NO_RECYCLE) == 0;
    release = release || !keeps;
    if (a->m->repeating || !frame_repeatable(s, release))
        return;
    a->m->repeating = true;
    was = s->frame;
    size_t calls = s->supply.calls;
    if (release && keeps)
        lifetime_release(a, resource);
    else
        lifetime_reset(a, resource, SIZE_MAX);
    /* As the frame found them: it may have closed one that was closed, and opened it later. */
    for (unsigned i = 0; i < LANES; i++)
        if (a->m->lane_states[i] == LANE_DEAD && a->m->lane_resource[i] == resource) {
            memset(&a->m->lanes[i], 0, sizeof a->m->lanes[i]);
            a->m->lane_states[i] = LANE_CLOSED;
        }
    for (size_t i = 0; i < was.count; i++) {
        repeat_call(a, &was.calls[i]);
        REQUIRE_THAT(release || s->frame.calls[i].result == was.calls[i].result,
                     "call %zu after a reset got %p, before it %p", i, s->frame.calls[i].result,
                     was.calls[i].result);
    }
    REQUIRE_THAT(release || s->supply.calls == calls, "the same calls after a reset asked the upstream");
    if (release)
        REQUIRE_THAT(s->frame.grant_count == was.grant_count &&
                         memcmp(s->frame.grants, was.grants, was.grant_count * sizeof *was.grants) == 0,
                     "the same calls after a release asked for chunks of other sizes");
    a->m->repeating = false;
}

/* -------------------------------------------------------------------------------------- misuse -- */

static void require_refused(const void *result, int expected, const char *what)
{
    REQUIRE_THAT(result == NULL && errno == expected, "%s: %p with errno %d", what, result, errno);
}

void lifetime_misuse(actor *a, unsigned resource, unsigned which)
{
    tsmbr_resource *r = &a->m->subjects[resource].resource;
    errno = EDOM;
    switch (which) {
    case 0:
        require_refused(tsmbr_memdup(r, NULL, 1), EINVAL, "memdup of NULL");
        break;
    case 1:
        require_refused(tsmbr_strdup(r, NULL), EINVAL, "strdup of NULL");
        break;
    case 2:
        require_refused(tsmbr_strndup(r, NULL, 0), EINVAL, "strndup of NULL");
        break;
    case 3:
#if !defined(_WIN32) /* has a character for every number */
        require_refused(tsmbr_printf(r, "%lc", (wint_t)0x7fffffff), EILSEQ, "printf of no character");
#endif
        break;
    case 4:
        REQUIRE_THAT(!tsmbr_try_resize(r, NULL, 0, 1) && errno == EDOM, "NULL was resized");
        break;
    case 5:
        REQUIRE_THAT(tsmbr_on_release(r, NULL, NULL) == EINVAL && errno == EINVAL, "a NULL cleanup was taken");
        break;
    case 6:
        REQUIRE_THAT(tsmbr_init(NULL, NULL) == EINVAL && errno == EINVAL, "NULL was made a resource");
        break;
    default:
        tsmbr_destroy(NULL);
        REQUIRE_THAT(tsmbr_version() == TSMBR_VERSION, "the library is another version than the header");
    }
    model_account(a->m, resource);
}
