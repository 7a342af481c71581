/* program.c - programs of one thread at a time: reads operations, does them. */
#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lifetime.h"
#include "operations.h"
#include "system.h"

enum { BLOCKS_MOST = 6000, HOP_MOST = 8 };
static const size_t ARRAY_MOST = (size_t)20 << 20;
static const size_t CLEARED_MOST = (size_t)256 << 10; /* where each byte is looked at */

/* The model is large, and one program runs at a time. */
model the_model;

bool calls_are_told;

void tell_of(const char *format, ...)
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

/* --------------------------------------------------------------------------------- operations -- */

static const blocks *blocks_of(const reader *in)
{
    return in->a.mine != NULL ? in->a.mine : &in->a.m->blocks;
}

static void size_for(call *c)
{
    if (c->kind == CALL_CALLOC) {
        c->count %= CLEARED_MOST;
        if (c->count != 0 && c->bytes < SIZE_MAX / 4 && c->bytes > CLEARED_MOST / c->count)
            c->bytes = CLEARED_MOST / c->count;
    }
    if (c->kind == CALL_ARRAY && c->count != 0 && c->bytes < SIZE_MAX / 4 && c->bytes > ARRAY_MOST / c->count)
        c->bytes = ARRAY_MOST / c->count;
    if (c->kind == CALL_MEMDUP && c->bytes < SIZE_MAX / 4)
        c->bytes %= (size_t)1 << 16;
}

void do_call(reader *in, call_kind kind, unsigned resource)
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
    if (blocks_of(in)->count < BLOCKS_MOST)
        (void)call_make(&in->a, &c, old);
}

void do_lane(reader *in, call_kind kind, unsigned resource)
{
    model *m = in->a.m;
    unsigned code = read_byte(in);
    call c = {.kind = kind,
              .resource = resource,
              .lane = m->concurrent ? in->a.lane : code % LANES,
              .count = 1,
              .alignment = 1};
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
    for (unsigned i = 0; i <= code / LANES % 16 && blocks_of(in)->count < BLOCKS_MOST; i++)
        (void)call_make(&in->a, &c, NULL);
}

/* Many small blocks: the way to the end of a chunk is short to write. */
void do_burst(reader *in, unsigned resource)
{
    unsigned count = 1 + read_byte(in);
    call c = {.kind = CALL_ALLOCATE, .resource = resource, .count = 1};
    c.bytes = read_bytes(in, resource) % 4096;
    c.alignment = (size_t)1 << read_byte(in) % 7;
    bool served = true;
    for (unsigned i = 0; i < count && served && blocks_of(in)->count < BLOCKS_MOST; i++)
        served = call_make(&in->a, &c, NULL) != NULL;
}

void do_deallocate(reader *in)
{
    block *b = read_block(in);
    if (b != NULL)
        call_deallocate(&in->a, b);
}

static void do_settings(reader *in, unsigned resource)
{
    supply *s = &in->a.m->subjects[resource].supply;
    unsigned code = read_byte(in);
    switch (code % 6) {
    case 0:
        s->fail_after = s->fail_every = s->refuse_above = 0;
        if (code == 252)
            system_refuse_end();
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
        s->wrap_next = code == 251;
    }
}

/* That the others do is for their blocks to say, not promised of malloc. */
static bool keeps_errno(unsigned which)
{
#if defined(_WIN32)
    return which != 0 && which != 4; /* both are malloc */
#else
    return which != 0;
#endif
}

/* The library's upstreams, asked directly, also for alignments that the library itself never wants. */
static void do_upstream(reader *in, unsigned resource)
{
    static const tsmbr_upstream *(*const upstreams[])(void) = {tsmbr_malloc_upstream, tsmbr_system_upstream,
                                                               tsmbr_prefault_upstream, tsmbr_null_upstream,
                                                               tsmbr_guarded_upstream};
    unsigned which = read_byte(in);
    which = which < 192 ? which % 4 : 4;
    const tsmbr_upstream *u = upstreams[which]();
    size_t bytes = read_bytes(in, resource);
    unsigned code = read_byte(in);
    size_t alignment = (size_t)1 << (4 + code % 19);
    if (which == 2 && bytes < SIZE_MAX / 4)
        bytes %= (size_t)5 << 20;
    bytes += bytes == 0;
#if defined(_WIN32)
    if (bytes > SIZE_MAX / 4 && alignment > 16) /* _aligned_malloc of wine's adds the two, and wraps */
        return;
#endif
    if (code >= 228)
        system_refuse(1 + code % 7, code >= 242);
    errno = EDOM;
    unsigned char *ptr = u->allocate(u->context, bytes, alignment);
    tell_of("  upstream %u: %zu bytes at alignment %zu -> %p\n", which, bytes, alignment, (void *)ptr);
    if (ptr == NULL) {
        bool refused = system_serve();
        REQUIRE_THAT(which == 3 || bytes > SIZE_MAX / 4 || refused, "upstream %u: no %zu bytes at alignment %zu",
                     which, bytes, alignment);
        u->deallocate(u->context, NULL, bytes, alignment);
        return;
    }
    REQUIRE_THAT(which != 3 && bytes <= PTRDIFF_MAX, "upstream %u: %p for %zu bytes at alignment %zu", which,
                 (void *)ptr, bytes, alignment);
    REQUIRE_THAT((uintptr_t)ptr % alignment == 0, "upstream %u: %p for alignment %zu", which, (void *)ptr,
                 alignment);
    REQUIRE_THAT(!keeps_errno(which) || errno == EDOM, "upstream %u has set errno to %d", which, errno);
    ptr[0] = ptr[bytes - 1] = 1;
    u->deallocate(u->context, ptr, bytes, alignment);
    (void)system_serve();
}

static void do_check(reader *in, unsigned resource)
{
    model_check_blocks(in->a.m, resource);
    model_check_owns(in->a.m, resource);
    supply_check();
    (void)read_block(in); /* a byte that once had a meaning */
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
    tell_of("  in another thread:\n");
    in->hops++;
    pthread_t thread;
    if (pthread_create(&thread, NULL, hop_main, in) == 0)
        (void)pthread_join(thread, NULL);
    in->hops--;
    tell_of("  back\n");
    for (unsigned i = 0; i < RESOURCES; i++)
        in->a.m->subjects[i].frame.broken = true;
}

/* The first are kinds of calls. New ones are added at the end: else the corpus would mean something else. */
enum operation {
    OP_BURST = CALL_ON_RELEASE + 1,
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
    OP_VPRINTF,
    OP_DEALLOCATE,
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
    case OP_VPRINTF:
        do_call(in, CALL_VPRINTF, resource);
        break;
    case OP_DEALLOCATE:
        do_deallocate(in);
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
    else if (operation < OP_BURST)
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
void program_open(void)
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
