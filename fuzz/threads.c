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
enum { THREADS_MOST = 4, REFUSALS_MOST = 8 };

static atomic_uint at_work;

bool members_at_work(void)
{
    return atomic_load_explicit(&at_work, memory_order_relaxed) != 0;
}

/* ------------------------------------------------------------------------------------- at work -- */

typedef struct member_cleanup {
    member *owner;
    size_t number;
} member_cleanup;

/* At rest. Cleanups of one thread are in an order that its program gave them. */
static void member_cleaned(void *argument)
{
    const member_cleanup *note = argument;
    REQUIRE_THAT(note->number + 1 == note->owner->cleanups_due, "cleanup %zu of a thread ran, %zu are due",
                 note->number, note->owner->cleanups_due);
    note->owner->cleanups_due--;
}

/* The note is a block of the resource: blocks are still there when cleanups run. */
static void member_register(member *self)
{
    call c = {.kind = CALL_ALLOCATE, .bytes = sizeof(member_cleanup), .count = 1};
    c.alignment = _Alignof(member_cleanup);
    member_cleanup *note = call_make(&self->in.a, &c, NULL);
    if (note == NULL)
        return;
    self->mine.count--; /* not filled with a pattern again, but written here */
    self->in.a.hidden_bytes += sizeof *note + c.alignment - 1;
    *note = (member_cleanup){self, self->cleanups_due};
    errno = EDOM;
    int result = tsmbr_on_release(&self->in.a.m->subjects[0].resource, member_cleaned, note);
    REQUIRE_THAT((result == 0 && errno == EDOM) || (result == ENOMEM && errno == ENOMEM),
                 "on_release: %d with errno %d", result, errno);
    if (result == 0)
        self->cleanups_due++;
}

static void member_look(const member *self)
{
    const subject *s = &self->in.a.m->subjects[0];
    tsmbr_statistics now;
    tsmbr_get_statistics(&s->resource, &now);
    REQUIRE_THAT(s->limit == 0 || now.peak_reserved_bytes <= s->limit, "%zu bytes held under a limit of %zu",
                 now.peak_reserved_bytes, s->limit);
    size_t count = self->mine.count;
    for (size_t i = count > 20 ? count - 20 : 0; i < count; i++)
        REQUIRE_THAT(tsmbr_owns(&s->resource, self->mine.items[i].ptr), "the resource does not own %p",
                     (void *)self->mine.items[i].ptr);
}

/* One operation of those that may run together with any other. */
static void member_step(member *self)
{
    static const call_kind kinds[] = {CALL_ALLOCATE, CALL_TRY,    CALL_FROM,       CALL_OR_CALL,
                                      CALL_CALLOC,   CALL_MEMDUP, CALL_REALLOCATE, CALL_RESIZE};
    reader *in = &self->in;
    unsigned code = read_byte(in) % 32;
    if (self->plain)
        code = code < 16 ? 0 : 16;
    if (code < 16)
        do_call(in, kinds[code % 8], 0);
    else if (code < 25)
        do_burst(in, 0);
    else if (code == 25)
        member_register(self);
    else if (code == 26 || in->a.lane == LANES)
        member_look(self);
    else
        do_lane(in, code < 30 ? CALL_LANE : code == 30 ? CALL_LANE_TRY : CALL_LANE_CLOSE, 0);
}

static void *member_main(void *argument)
{
    member *self = argument;
    pthread_barrier_wait(self->start);
    while (self->in.left != 0 && self->in.a.refusals < REFUSALS_MOST)
        member_step(self);
    atomic_fetch_sub_explicit(&at_work, 1, memory_order_relaxed);
    return NULL;
}

/* ------------------------------------------------------------------------------------- at rest -- */

static void members_judge(model *m, member *members, unsigned count)
{
    subject *s = &m->subjects[0];
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < members[i].mine.count; k++) {
            block *b = &members[i].mine.items[k];
            require_held(s, b->ptr, b->bytes);
            model_add(m, *b);
        }
        members[i].mine.count = 0;
        s->hidden_bytes += members[i].in.a.hidden_bytes;
        s->records += members[i].cleanups_due;
    }
    model_check_blocks(m, 0);
    supply_check();
    model_account(m, 0);
}

void members_run(model *m, member *members, unsigned count, void *(*beside)(void *), void *argument)
{
    pthread_barrier_t start;
    pthread_t threads[MEMBERS_MOST];
    pthread_t watcher = {0};
    if (pthread_barrier_init(&start, NULL, count) != 0)
        abort();
    m->concurrent = m->crowded = true;
    m->subjects[0].exact = false;
    atomic_store_explicit(&at_work, count, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) {
        members[i].in.a.mine = &members[i].mine;
        members[i].in.a.lane = i < LANES ? i : LANES;
        members[i].start = &start;
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
        members_run(m, members, count, NULL, NULL);
        lifetime_reset(&in.a, 0, keep);
        for (unsigned i = 0; i < count; i++)
            REQUIRE_THAT(members[i].cleanups_due == 0, "%zu cleanups of a thread have not run",
                         members[i].cleanups_due);
    }
    for (unsigned i = 0; i < count; i++)
        free(members[i].mine.items);
    model_close(m);
}
