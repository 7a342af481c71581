/* program.c - reads bytes, makes calls. */
#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lifetime.h"

enum { THREADS_MOST = 4, BLOCKS_MOST = 6000, HOP_MOST = 8 };
static const size_t BYTES_MOST = (size_t)48 << 20;    /* of one block */
static const size_t CLEARED_MOST = (size_t)256 << 10; /* where each byte is looked at */
static const size_t BUFFER_MOST = (size_t)256 << 10;

/* The model is large, and one program runs at a time. */
static model the_model;

bool calls_are_told;

void tell(const char *format, ...)
{
    if (!calls_are_told)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fputs("fuzz: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    abort();
}

/* ------------------------------------------------------------------------------------- reading -- */

typedef struct reader {
    const uint8_t *data;
    size_t left;
    actor a;
    unsigned hops; /* depth */
} reader;

static unsigned read_byte(reader *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

static size_t shifted(size_t size, unsigned delta)
{
    return size + (size_t)(ptrdiff_t)(int8_t)delta;
}

/* What is left of the current chunk, as far as the model knows: of the latest block's. */
static size_t room_left(const model *m, unsigned resource)
{
    const subject *s = &m->subjects[resource];
    size_t room = 0;
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
        if (s->exact && grant_capacity(g) - g->next > room)
            room = grant_capacity(g) - g->next;
    return room;
}

static size_t relative_size(const reader *in, unsigned what, unsigned resource)
{
    const model *m = in->a.m;
    if (m->concurrent)
        return what;
    const subject *s = &m->subjects[resource];
    switch (what) {
    case 0:
        return s->buffer_bytes;
    case 1:
        return room_left(m, resource);
    case 2:
        return s->limit - s->supply.held;
    case 3:
        return s->supply.last_bytes;
    case 4:
        return s->supply.last_bytes / 4;
    case 5:
        return s->supply.held;
    case 6:
        return s->supply.held / 4;
    default:
        return m->blocks.count != 0 ? m->blocks.items[m->blocks.count - 1].bytes : 1;
    }
}

/* Any size. */
static size_t read_size(reader *in, unsigned resource)
{
    unsigned code = read_byte(in);
    if (code < 128)
        return code;
    unsigned more = read_byte(in);
    if (code < 176)
        return (code - 127) * (size_t)128 + more;
    if (code < 216)
        return shifted((size_t)1 << (8 + (code - 176) / 2), code % 2 == 0 ? more : 0);
    if (code < 240)
        return shifted(relative_size(in, (code - 216) % 8, resource), more);
    switch (code % 4) {
    case 0:
        return SIZE_MAX - more;
    case 1:
        return shifted((size_t)PTRDIFF_MAX, more);
    case 2:
        return SIZE_MAX / (more + 1);
    default:
        return shifted((size_t)1 << (56 + more / 32), more);
    }
}

/* A size that can be had, or one that cannot be represented. */
static size_t read_bytes(reader *in, unsigned resource)
{
    size_t size = read_size(in, resource);
    return size <= BYTES_MOST || size > SIZE_MAX / 4 ? size : BYTES_MOST;
}

static size_t read_alignment(reader *in)
{
    unsigned code = read_byte(in);
    if (code < 192)
        return (size_t)1 << code % 13;
    if (code < 240)
        return (size_t)1 << code % 24;
    if (code < 248)
        return (size_t)1 << (60 + code % 4);
    static const size_t odd[] = {0, 3, 6, 12, SIZE_MAX, SIZE_MAX / 2, 48, (size_t)1 << 30};
    return odd[code - 248];
}

static plan read_plan(reader *in, unsigned resource)
{
    unsigned kind = read_byte(in);
    unsigned parts = read_byte(in);
    plan p = {.upstream = kind % 16, .flags = parts & 1, .buffer_bytes = SIZE_MAX};
    if (p.upstream < 8)
        p.upstream = 0;
    p.mistake = kind >= 0xE0 ? 1 + kind % 6 : 0;
    p.gap = (parts & 2) != 0 ? 0 : 64;
    if ((parts & 4) != 0)
        p.misalign = read_byte(in) % 64;
    if ((parts & 8) != 0)
        p.buffer_bytes = read_size(in, resource) % BUFFER_MOST;
    if ((parts & 16) != 0)
        p.limit = read_size(in, resource) % ((size_t)8 << 20);
    if ((parts & 32) != 0)
        p.initial_size = read_bytes(in, resource);
    return p;
}

/* A block that may be resized: one of the latest, or any. NULL: there is none. */
static block *read_block(reader *in)
{
    blocks *list = in->a.mine != NULL ? in->a.mine : &in->a.m->blocks;
    unsigned code = read_byte(in);
    if (list->count == 0)
        return NULL;
    size_t i = code < 64 ? list->count - 1 - code % 8 % list->count : code * (size_t)131 % list->count;
    return list->items[i].garbage ? NULL : &list->items[i];
}

/* --------------------------------------------------------------------------------- operations -- */

static void size_for(call *c)
{
    if (c->kind == CALL_CALLOC) {
        c->count %= CLEARED_MOST;
        if (c->count != 0 && c->bytes < SIZE_MAX / 4 && c->bytes > CLEARED_MOST / c->count)
            c->bytes = CLEARED_MOST / c->count;
    }
    if (c->kind == CALL_ARRAY && c->count != 0 && c->bytes < SIZE_MAX / 4 && c->bytes > BYTES_MOST / c->count)
        c->bytes = BYTES_MOST / c->count;
    if (c->kind == CALL_MEMDUP && c->bytes < SIZE_MAX / 4)
        c->bytes %= (size_t)1 << 16;
}

static void do_call(reader *in, call_kind kind, unsigned resource)
{
    call c = {.kind = kind, .resource = resource, .count = 1, .alignment = 1};
    c.bytes = read_bytes(in, resource);
    if (kind <= CALL_ARRAY || kind == CALL_REALLOCATE)
        c.alignment = read_alignment(in);
    if (kind == CALL_OR_CALL)
        c.count = c.alignment != 8;
    if (kind == CALL_ARRAY || kind == CALL_CALLOC)
        c.count = read_size(in, resource);
    size_for(&c);
    block *old = NULL;
    if (kind == CALL_REALLOCATE || kind == CALL_RESIZE) {
        old = read_block(in);
        if (old == NULL && kind == CALL_RESIZE)
            return;
        if (old != NULL) {
            c.resource = old->resource;
            c.ptr = old->ptr;
            c.old_bytes = old->asked;
        }
    }
    if (in->a.m->blocks.count < BLOCKS_MOST)
        (void)call_make(&in->a, &c, old);
}

static void do_lane(reader *in, call_kind kind, unsigned resource)
{
    model *m = in->a.m;
    unsigned code = read_byte(in);
    call c = {.kind = kind, .resource = resource, .lane = code % LANES, .count = 1, .alignment = 1};
    if (m->lane_states[c.lane] != LANE_OPEN && kind != CALL_LANE_OPEN) {
        call open = {.kind = CALL_LANE_OPEN, .resource = resource, .lane = c.lane};
        if (kind != CALL_LANE_CLOSE || m->lane_states[c.lane] == LANE_DEAD)
            (void)call_make(&in->a, &open, NULL);
    }
    if (kind != CALL_LANE_OPEN && m->lane_states[c.lane] == LANE_OPEN)
        c.resource = m->lane_resource[c.lane];
    if (kind != CALL_LANE_OPEN && kind != CALL_LANE_CLOSE) {
        c.bytes = read_bytes(in, c.resource);
        c.alignment = read_alignment(in);
    }
    for (unsigned i = 0; i <= code / LANES % 16 && m->blocks.count < BLOCKS_MOST; i++)
        (void)call_make(&in->a, &c, NULL);
}

/* Many small blocks: the way to the end of a chunk is short to write. */
static void do_burst(reader *in, unsigned resource)
{
    unsigned count = 1 + read_byte(in);
    call c = {.kind = CALL_ALLOCATE, .resource = resource, .count = 1};
    c.bytes = read_bytes(in, resource) % 4096;
    c.alignment = (size_t)1 << read_byte(in) % 7;
    for (unsigned i = 0; i < count && in->a.m->blocks.count < BLOCKS_MOST; i++)
        (void)call_make(&in->a, &c, NULL);
}

static void do_settings(reader *in, unsigned resource)
{
    supply *s = &in->a.m->subjects[resource].supply;
    unsigned code = read_byte(in);
    switch (code % 6) {
    case 0:
        s->fail_after = s->fail_every = s->refuse_above = 0;
        break;
    case 1:
        s->fail_after = code / 6;
        break;
    case 2:
        s->fail_every = code / 6;
        break;
    case 3:
        s->refuse_above = read_size(in, resource);
        break;
    case 4:
        s->misalign = code / 6 + code % 2 * 20;
        break;
    default:
        s->gap = code / 6 % 2 == 0 ? 0 : (size_t)code;
    }
}

/* The library's upstreams, asked directly, also for alignments that the library itself never wants. */
static void do_upstream(reader *in, unsigned resource)
{
    static const tsmbr_upstream *(*const upstreams[])(void) = {tsmbr_malloc_upstream, tsmbr_system_upstream,
                                                               tsmbr_prefault_upstream, tsmbr_null_upstream};
    unsigned which = read_byte(in) % 4;
    const tsmbr_upstream *u = upstreams[which]();
    size_t bytes = read_bytes(in, resource);
    size_t alignment = (size_t)1 << (4 + read_byte(in) % 19);
    if (which == 2 && bytes < SIZE_MAX / 4)
        bytes %= (size_t)5 << 20;
    bytes += bytes == 0;
    errno = EDOM;
    unsigned char *ptr = u->allocate(u->context, bytes, alignment);
    tell("  upstream %u: %zu bytes at alignment %zu -> %p\n", which, bytes, alignment, (void *)ptr);
    REQUIRE_THAT(ptr == NULL ? which == 3 || bytes > SIZE_MAX / 4 : which != 3 && bytes <= PTRDIFF_MAX,
                 "upstream %u: %p for %zu bytes at alignment %zu", which, (void *)ptr, bytes, alignment);
    if (ptr == NULL)
        return;
    REQUIRE_THAT((uintptr_t)ptr % alignment == 0, "upstream %u: %p for alignment %zu", which, (void *)ptr,
                 alignment);
    REQUIRE_THAT(which == 0 || errno == EDOM, "upstream %u has set errno to %d", which, errno);
    ptr[0] = ptr[bytes - 1] = 1;
    u->deallocate(u->context, ptr, bytes, alignment);
}

static void do_check(reader *in, unsigned resource)
{
    model_check_blocks(in->a.m, resource);
    model_check_owns(in->a.m, resource);
    supply_check();
    const block *b = read_block(in);
    if (b != NULL)
        tsmbr_deallocate(&in->a.m->subjects[b->resource].resource, b->ptr, b->bytes, b->alignment);
    model_account(in->a.m, resource);
}

static void do_reset(reader *in, unsigned resource)
{
    unsigned code = read_byte(in);
    if (code < 64)
        lifetime_reset(&in->a, resource, SIZE_MAX);
    else if (code < 96)
        lifetime_release(&in->a, resource);
    else if (code < 128)
        lifetime_repeat(&in->a, resource, code % 2 != 0);
    else
        lifetime_reset(&in->a, resource, read_size(in, resource));
}

static void run(reader *in, size_t operations);

/* The next operations are another thread's, which has another slot, and lives no longer. */
static void *hop_main(void *argument)
{
    run(argument, HOP_MOST);
    return NULL;
}

static void do_hop(reader *in)
{
    if (in->hops == 1)
        return;
    for (unsigned i = 0; i < RESOURCES; i++)
        in->a.m->subjects[i].frame.broken = true;
    tell("  in another thread:\n");
    in->hops++;
    pthread_t thread;
    if (pthread_create(&thread, NULL, hop_main, in) == 0)
        (void)pthread_join(thread, NULL);
    in->hops--;
    tell("  back\n");
    for (unsigned i = 0; i < RESOURCES; i++)
        in->a.m->subjects[i].frame.broken = true;
}

enum operation {
    OP_BURST = CALL_KINDS,
    OP_RESET,
    OP_REPEAT,
    OP_INIT,
    OP_RESERVE,
    OP_SETTINGS,
    OP_UPSTREAM,
    OP_CHECK,
    OP_HOP,
    OP_DESTROY,
    OP_MISUSE,
    OPERATIONS = 32 /* the others allocate */
};

static void do_other(reader *in, unsigned operation, unsigned resource)
{
    switch (operation) {
    case OP_BURST:
        do_burst(in, resource);
        break;
    case OP_RESET:
        do_reset(in, resource);
        break;
    case OP_REPEAT:
        lifetime_repeat(&in->a, resource, false);
        break;
    case OP_INIT: {
        plan p = read_plan(in, resource);
        model_init(in->a.m, resource, &p);
        break;
    }
    case OP_RESERVE:
        lifetime_reserve(&in->a, resource, read_bytes(in, resource));
        break;
    case OP_SETTINGS:
        do_settings(in, resource);
        break;
    case OP_UPSTREAM:
        do_upstream(in, resource);
        break;
    case OP_CHECK:
        do_check(in, resource);
        break;
    case OP_HOP:
        do_hop(in);
        break;
    case OP_DESTROY:
        model_destroy(in->a.m, resource);
        break;
    case OP_MISUSE:
        lifetime_misuse(&in->a, resource, read_byte(in) % 8);
        break;
    default:
        do_call(in, CALL_ALLOCATE, resource);
    }
}

static void run_one(reader *in)
{
    unsigned code = read_byte(in);
    unsigned operation = code % OPERATIONS;
    unsigned resource = code / OPERATIONS < 6 ? 0 : code / OPERATIONS - 5; /* 0 most often, 1, 2 */
    if (operation == CALL_LANE || operation == CALL_LANE_TRY || operation == CALL_LANE_OPEN ||
        operation == CALL_LANE_CLOSE)
        do_lane(in, (call_kind)operation, resource);
    else if (operation == CALL_ON_RELEASE)
        lifetime_on_release(&in->a, resource, read_byte(in) % 3);
    else if (operation < CALL_KINDS)
        do_call(in, (call_kind)operation, resource);
    else
        do_other(in, operation, resource);
}

static void run(reader *in, size_t operations)
{
    for (size_t i = 0; i < operations && in->left != 0; i++)
        run_one(in);
}

/* So that the first program of a process does what it does in every other: this thread has its slot. */
static void program_open(void)
{
    static bool opened;
    if (opened)
        return;
    opened = true;
    calls_are_told = getenv("TSMBR_FUZZ_TELL") != NULL;
    calls_open();
    tsmbr_resource r = TSMBR_RESOURCE_INIT;
    (void)tsmbr_init(&r, &(tsmbr_config){.initial_size = (size_t)64 << 10});
    for (int i = 0; i < 4; i++)
        if (tsmbr_allocate(&r, 8, 8) == NULL)
            abort();
    tsmbr_destroy(&r);
}

void program_of_calls(const uint8_t *data, size_t size)
{
    program_open();
    model *m = &the_model;
    model_open(m);
    reader in = {.data = data, .left = size, .a = {.m = m}};
    plan p = read_plan(&in, 0);
    model_init(m, 0, &p);
    run(&in, SIZE_MAX);
    for (unsigned i = 0; i < RESOURCES; i++) {
        model_check_blocks(m, i);
        model_check_owns(m, i);
    }
    model_close(m);
}

/* ------------------------------------------------------------------------------------ threads -- */

typedef struct member {
    reader in;
    blocks mine;
    pthread_barrier_t *start;
} member;

/* What may run together with anything else. */
static void *member_main(void *argument)
{
    member *self = argument;
    reader *in = &self->in;
    pthread_barrier_wait(self->start);
    while (in->left != 0) {
        static const call_kind kinds[] = {CALL_ALLOCATE, CALL_TRY,    CALL_FROM,       CALL_OR_CALL,
                                          CALL_CALLOC,   CALL_MEMDUP, CALL_REALLOCATE, CALL_RESIZE};
        unsigned code = read_byte(in);
        if (code % 16 < 8) {
            do_call(in, kinds[code % 8], 0);
        } else if (code % 16 < 14) {
            do_burst(in, 0);
        } else {
            tsmbr_statistics s;
            tsmbr_get_statistics(&in->a.m->subjects[0].resource, &s);
            size_t limit = in->a.m->subjects[0].limit;
            REQUIRE_THAT(limit == 0 || s.peak_reserved_bytes <= limit, "%zu bytes held under a limit of %zu",
                         s.peak_reserved_bytes, limit);
            for (size_t i = 0; i < self->mine.count; i++)
                REQUIRE_THAT(tsmbr_owns(&in->a.m->subjects[0].resource, self->mine.items[i].ptr),
                             "the resource does not own %p", (void *)self->mine.items[i].ptr);
        }
    }
    return NULL;
}

/* All members at the same time; then, at rest, their blocks into the model, which judges. */
static void run_members(model *m, member *members, unsigned count)
{
    pthread_barrier_t start;
    pthread_t threads[THREADS_MOST];
    if (pthread_barrier_init(&start, NULL, count) != 0)
        abort();
    m->concurrent = m->crowded = true;
    for (unsigned i = 0; i < count; i++) {
        members[i].in.a.mine = &members[i].mine;
        members[i].start = &start;
        if (pthread_create(&threads[i], NULL, member_main, &members[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    m->concurrent = false;
    m->subjects[0].exact = false;
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < members[i].mine.count; k++)
            model_add(m, members[i].mine.items[k]);
        members[i].mine.count = 0;
    }
    model_check_blocks(m, 0);
    supply_check();
    model_account(m, 0);
    model_check_owns(m, 0);
}

void program_of_threads(const uint8_t *data, size_t size)
{
    program_open();
    model *m = &the_model;
    model_open(m);
    reader in = {.data = data, .left = size, .a = {.m = m}};
    plan p = read_plan(&in, 0);
    model_init(m, 0, &p);
    unsigned code = read_byte(&in);
    unsigned count = 2 + code % (THREADS_MOST - 1);
    size_t keep = code < 64 ? SIZE_MAX : code < 128 ? 0 : read_size(&in, 0);
    m->subjects[0].supply.fail_every = code / 3 % 5 == 0 ? 1 + code / 15 : 0;
    member members[THREADS_MOST] = {0};
    size_t lengths[THREADS_MOST];
    for (unsigned i = 0; i < count; i++)
        lengths[i] = i + 1 < count ? read_byte(&in) : in.left;
    for (unsigned round = 0; round < 2; round++) {
        const uint8_t *rest = in.data;
        size_t left = in.left;
        for (unsigned i = 0; i < count; i++) {
            size_t length = lengths[i] < left ? lengths[i] : left;
            members[i].in = (reader){.data = rest, .left = length, .a = {.m = m, .seed = i * 77773u + round}};
            rest += length;
            left -= length;
        }
        run_members(m, members, count);
        lifetime_reset(&in.a, 0, keep);
    }
    for (unsigned i = 0; i < count; i++)
        free(members[i].mine.items);
    model_close(m);
}
