/* threads.c - members at work, and the judgement when they rest.
 *
 * While they work a thread checks what it can see alone, and takes no lock: one would hide races. */
#include "threads.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lifetime.h"
#include "program.h"

/* A refusal may take long where other threads are asking the upstream: enough is enough. */
enum { THREADS_MOST = 4, THREADS_EACH = 12, REFUSALS_MOST = 8 };
enum { NOTE_PADDING = 31 }; /* at most, with a zone */

static atomic_uint at_work;

/* A lane on its way from one thread to another one, or LANES. */
static atomic_uint basket;

bool members_at_work(void)
{
    return atomic_load_explicit(&at_work, memory_order_relaxed) != 0;
}

/* ------------------------------------------------------------------------------------- at work -- */

typedef struct member_cleanup {
    member *owner;
    unsigned resource;
    size_t number;
} member_cleanup;

/* At rest. Cleanups of one thread are in an order that its program gave them. */
static void member_cleaned(void *argument)
{
    const member_cleanup *note = argument;
    size_t *due = &note->owner->cleanups_due[note->resource];
    REQUIRE_THAT(note->number + 1 == *due, "cleanup %zu of a thread ran, %zu are due", note->number, *due);
    --*due;
}

/* The note is a block of the resource: blocks are still there when cleanups run. */
static void member_register(member *self, unsigned resource)
{
    call c = {.kind = CALL_ALLOCATE, .resource = resource, .bytes = sizeof(member_cleanup), .count = 1};
    c.alignment = _Alignof(member_cleanup);
    member_cleanup *note = call_make(&self->in.a, &c, NULL);
    if (note == NULL)
        return;
    self->mine.count--; /* not filled with a pattern again, but written here */
    self->in.a.hidden_bytes[resource] += sizeof *note + NOTE_PADDING;
    *note = (member_cleanup){self, resource, self->cleanups_due[resource]};
    errno = EDOM;
    int result = tsmbr_on_release(&self->in.a.m->subjects[resource].resource, member_cleaned, note);
    REQUIRE_THAT((result == 0 && errno == EDOM) || (result == ENOMEM && errno == ENOMEM),
                 "on_release: %d with errno %d", result, errno);
    if (result == 0)
        self->cleanups_due[resource]++;
}

static void member_look(const member *self, unsigned resource)
{
    const subject *s = &self->in.a.m->subjects[resource];
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->resource, &now);
    REQUIRE_THAT(s->limit == 0 || now.peak_reserved_bytes <= s->limit, "%zu bytes held under a limit of %zu",
                 now.peak_reserved_bytes, s->limit);
    size_t count = self->mine.count;
    for (size_t i = count > 20 ? count - 20 : 0; i < count; i++) {
        const block *b = &self->mine.items[i];
        REQUIRE_THAT(tsmbr_owns(&s->resource, b->ptr) == (b->resource == resource), "owns is wrong about %p",
                     (void *)b->ptr);
    }
}

/* Lanes are passed on by the program's own synchronization, which is this. */
static void member_hand_on(member *self)
{
    self->in.a.lane = atomic_exchange_explicit(&basket, self->in.a.lane, memory_order_acq_rel);
}

enum { CODE_BURST = 16, CODE_DEALLOCATE = 22, CODE_HAND_ON, CODE_LEAVE, CODE_REGISTER, CODE_LOOK, CODE_LANE };

/* One operation of those that may run together with any other. */
static void member_step(member *self)
{
    static const call_kind kinds[CODE_BURST] = {CALL_ALLOCATE, CALL_TRY,       CALL_FROM,       CALL_OR_CALL,
                                                CALL_CALLOC,   CALL_MEMDUP,    CALL_REALLOCATE, CALL_RESIZE,
                                                CALL_ARRAY,    CALL_STRDUP,    CALL_STRNDUP,    CALL_PRINTF,
                                                CALL_VPRINTF,  CALL_FROM_HELD, CALL_REALLOCATE, CALL_RESIZE};
    reader *in = &self->in;
    unsigned byte = read_byte(in);
    unsigned code = byte % 32;
    unsigned resource = byte / 32 >= 6 ? in->a.m->shared - 1 : 0;
    if (self->plain)
        code = code < CODE_BURST ? 0 : CODE_BURST;
    if (code < CODE_BURST)
        do_call(in, kinds[code], resource);
    else if (code < CODE_DEALLOCATE)
        do_burst(in, resource);
    else if (code == CODE_DEALLOCATE)
        do_deallocate(in);
    else if (code == CODE_HAND_ON)
        member_hand_on(self);
    else if (code == CODE_LEAVE)
        self->leaves = self->threads < THREADS_EACH;
    else if (code == CODE_REGISTER)
        member_register(self, resource);
    else if (code == CODE_LOOK || in->a.lane == LANES)
        member_look(self, resource);
    else
        do_lane(in, code < 30 ? CALL_LANE : code == 30 ? CALL_LANE_TRY : CALL_LANE_CLOSE, resource);
}

static bool member_goes_on(const member *self)
{
    return self->in.left != 0 && self->in.a.refusals < REFUSALS_MOST;
}

static void *member_part(void *argument)
{
    member *self = argument;
    if (self->start != NULL)
        pthread_barrier_wait(self->start);
    self->start = NULL;
    self->leaves = false;
    while (member_goes_on(self) && !self->leaves)
        member_step(self);
    return NULL;
}

/* One thread after the other: another member's may get the slot of one that has ended. This one calls nothing of
 * the library, so it has none. */
static void *member_main(void *argument)
{
    member *self = argument;
    do {
        pthread_t thread;
        self->threads++;
        if (pthread_create(&thread, NULL, member_part, self) != 0 || pthread_join(thread, NULL) != 0)
            abort();
    } while (member_goes_on(self));
    atomic_fetch_sub_explicit(&at_work, 1, memory_order_relaxed);
    return NULL;
}

/* ------------------------------------------------------------------------------------- at rest -- */

static void members_judge(model *m, member *members, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < members[i].mine.count; k++) {
            block *b = &members[i].mine.items[k];
            require_held(&m->subjects[b->resource], b->ptr, b->bytes);
            model_add(m, *b);
        }
        members[i].mine.count = 0;
        for (unsigned r = 0; r < m->shared; r++) {
            m->subjects[r].hidden_bytes += members[i].in.a.hidden_bytes[r];
            m->subjects[r].records += members[i].cleanups_due[r];
        }
    }
    supply_check();
    for (unsigned r = 0; r < m->shared; r++) {
        model_check_blocks(m, r);
        model_account(m, r);
    }
}

void members_run(model *m, member *members, unsigned count, unsigned shared, void *(*beside)(void *),
                 void *argument)
{
    pthread_barrier_t start;
    pthread_t threads[MEMBERS_MOST];
    pthread_t watcher = {0};
    if (pthread_barrier_init(&start, NULL, count) != 0)
        abort();
    m->concurrent = m->crowded = true;
    m->shared = shared;
    for (unsigned r = 0; r < shared; r++)
        m->subjects[r].exact = false;
    atomic_store_explicit(&basket, LANES, memory_order_relaxed);
    atomic_store_explicit(&at_work, count, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) {
        members[i].in.a.mine = &members[i].mine;
        members[i].in.a.lane = i < LANES ? i : LANES;
        members[i].start = &start;
        members[i].threads = 0;
        if (pthread_create(&threads[i], NULL, member_main, &members[i]) != 0)
            abort();
    }
    if (beside != NULL && pthread_create(&watcher, NULL, beside, argument) != 0)
        abort();
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    if (beside != NULL)
        (void)pthread_join(watcher, NULL);
    pthread_barrier_destroy(&start);
    m->concurrent = false;
    members_judge(m, members, count);
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
    unsigned shared = code < 192 ? 1 : 2;
    if (shared == 2) {
        p = read_plan(&in, 1);
        model_init(m, 1, &p);
    }
    unsigned count = 2 + code % (THREADS_MOST - 1);
    size_t keep = code < 64 ? SIZE_MAX : code < 128 ? 0 : read_size(&in, 0);
    m->subjects[0].supply.fail_every = code / 3 % 5 == 0 ? 1 + code / 15 : 0;
    member members[THREADS_MOST] = {0};
    size_t lengths[THREADS_MOST];
    for (unsigned i = 0; i < count; i++)
        lengths[i] = i + 1 < count ? read_byte(&in) : SIZE_MAX;
    for (unsigned round = 0; round < 2; round++) {
        const uint8_t *rest = in.data;
        size_t left = in.left;
        for (unsigned i = 0; i < count; i++) {
            size_t length = lengths[i] < left ? lengths[i] : left;
            members[i].in = (reader){.data = rest, .left = length, .a = {.m = m, .seed = i * 77773u + round}};
            rest += length;
            left -= length;
        }
        members_run(m, members, count, shared, NULL, NULL);
        for (unsigned r = 0; r < shared; r++) {
            lifetime_reset(&in.a, r, keep);
            for (unsigned i = 0; i < count; i++)
                REQUIRE_THAT(members[i].cleanups_due[r] == 0, "%zu cleanups of a thread have not run",
                             members[i].cleanups_due[r]);
        }
    }
    for (unsigned i = 0; i < count; i++)
        free(members[i].mine.items);
    model_close(m);
}
