/* An upstream that fails: at the k-th call for every k, every so often, above a size, over a budget, which several
 * resources may share. After each failure the resource serves what fits, and in the end every byte is back. */
#include "lane.h"
#include "resource.h"

#include "support.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* One workload that reaches every path to the upstream: first chunk, growth, a chunk of its own,
 * the second try with the exact size, a cleanup's record. Counts what was served and refused. */
typedef struct tally {
    size_t served;
    size_t refused;
} tally;

static void ignore(void *argument)
{
    (void)argument;
}

static void tally_block(tally *t, tsmbr_resource *r, blocks *b, size_t bytes, size_t alignment)
{
    errno = 0;
    void *p = tsmbr_allocate(r, bytes, alignment);
    if (p == NULL) {
        assert_int_equal(errno, ENOMEM);
        t->refused++;
    } else {
        assert_int_equal((uintptr_t)p % alignment, 0);
        blocks_add(b, p, bytes, t->served);
        t->served++;
    }
}

static tally work(tsmbr_resource *r, blocks *b)
{
    tally t = {0};
    for (size_t i = 0; i < 400; i++) {
        tally_block(&t, r, b, i % 97, 1);
        if (i % 10 == 3)
            tally_block(&t, r, b, 1000 + i, 8);
        if (i % 50 == 9)
            tally_block(&t, r, b, 20000, 256);
        if (i % 20 == 5 && tsmbr_on_release(r, ignore, NULL) != 0)
            t.refused++;
    }
    return t;
}

static void check_and_free(blocks *b)
{
    assert_int_equal(blocks_check(b), 0);
    blocks_free(b);
}

static void at_every_call(void **state)
{
    (void)state;
    size_t calls_without_failure = 0;
    size_t refused = 0;
    for (size_t k = 0; k == 0 || k <= calls_without_failure + 5; k++) {
        watch w;
        watch_open(&w);
        w.fail_call = k;
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
        blocks b = {0};
        tally t = work(&r, &b);
        if (k == 0) {
            calls_without_failure = w.calls;
            assert_true(w.calls >= 5);
            assert_int_equal(t.refused, 0);
        }
        /* One call failed, so at most one request did; one that had a second try did not. */
        assert_true(t.refused <= 1);
        refused += t.refused;
        tsmbr_statistics s;
        tsmbr_get_statistics(&r, &s);
        assert_int_equal(s.reserved_bytes, w.held);
        assert_int_equal(s.chunks, w.live);
        check_and_free(&b);
        tsmbr_release(&r);
        assert_int_equal(w.live, 0);
        /* As good as new. */
        w.fail_call = 0;
        assert_int_equal(work(&r, &b).refused, 0);
        check_and_free(&b);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
    assert_true(refused > 0);
}

static void with_a_budget(void **state)
{
    (void)state;
    for (size_t budget = 1; budget < 400000; budget = budget * 2 + 100) {
        watch w;
        watch_open(&w);
        w.budget = budget;
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
        blocks b = {0};
        tally t = work(&r, &b);
        assert_true(t.refused > 0 || budget > 200000);
        assert_true(t.served > 0 || budget < 150);
        check_and_free(&b);
        tsmbr_reset(&r, SIZE_MAX);
        assert_int_equal(work(&r, &b).served > 0, t.served > 0);
        check_and_free(&b);
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

/* ---------------------------------------------------------- every path, and what is left after it -- */

/* Bytes in the chunk that has the most room. */
static size_t largest_room(const tsmbr_resource *self)
{
    const resource *r = resource_of_const(self);
    size_t most = 0;
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL; walk_on(&w)) {
        size_t room = w.c->capacity - next_load_relaxed(w.c);
        most = room > most ? room : most;
    }
    return most;
}

static bool any_chunk_fits(const tsmbr_resource *self, size_t bytes, size_t alignment)
{
    const resource *r = resource_of_const(self);
    size_t offset = 0, end = 0;
    for (walk w = walk_from(r, head_load_acquire(r)); w.c != NULL; walk_on(&w))
        if (place_fit(chunk_base(w.c), w.c->capacity, next_load_relaxed(w.c), place_bytes(bytes), alignment,
                      &offset, &end))
            return true;
    return false;
}

/* One life of a resource, one thread. */
typedef struct life {
    tsmbr_resource r;
    watch w;
    blocks b;
    tsmbr_lane run;
    size_t refused;
    size_t refused_twice; /* of these, by two calls of the upstream */
    size_t failures_before;
    size_t registered, cleaned;
} life;

static size_t life_failures(const life *l)
{
    return l->w.calls - l->w.grants;
}

static void life_cleaned(void *l)
{
    ((life *)l)->cleaned++;
}

/* A refusal is one that no chunk held could have avoided, and follows one of the upstream's. */
static void life_note(life *l, void *p, size_t bytes, size_t alignment)
{
    if (p != NULL) {
        blocks_add(&l->b, p, bytes, l->b.count);
        return;
    }
    assert_int_equal(errno, ENOMEM);
    assert_false(any_chunk_fits(&l->r, bytes, alignment));
    assert_true(life_failures(l) > l->failures_before);
    l->refused_twice += life_failures(l) - l->failures_before == 2;
    l->refused++;
}

static void life_blocks(life *l, size_t stream)
{
    dice d = dice_make(3, stream);
    tsmbr_lane_open(&l->run, &l->r);
    for (size_t i = 0; i < 300; i++) {
        size_t bytes = i % 40 == 20 ? 9000 : i % 100 == 70 ? 100000 : 1 + dice_below(&d, 300);
        size_t alignment = dice_alignment(&d, 64), grown = bytes + dice_below(&d, 100);
        l->failures_before = life_failures(l);
        if (i % 5 == 0) {
            life_note(l, tsmbr_lane_allocate(&l->run, bytes, alignment), bytes, alignment);
            continue;
        }
        void *p = tsmbr_allocate(&l->r, bytes, alignment);
        if (p != NULL && i % 5 == 1) {
            l->failures_before = life_failures(l);
            void *moved = tsmbr_reallocate(&l->r, p, bytes, grown, alignment);
            if (moved == NULL)
                life_note(l, NULL, grown, alignment); /* and the block is as it was */
            else
                bytes = grown;
            p = moved != NULL ? moved : p;
        }
        life_note(l, p, bytes, alignment);
        if (i % 20 == 5) {
            int error = tsmbr_on_release(&l->r, life_cleaned, l);
            assert_true(error == 0 || error == ENOMEM);
            l->registered += error == 0;
            l->refused += error != 0;
        }
    }
    tsmbr_lane_close(&l->run);
}

static void life_settled(life *l)
{
    const resource *r = resource_of(&l->r);
    assert_int_equal(reserved_load_relaxed(r), l->w.held);
    assert_int_equal(published_load_relaxed(r), l->w.held);
    tsmbr_statistics s;
    tsmbr_get_statistics(&l->r, &s);
    assert_int_equal(s.reserved_bytes, l->w.held);
    assert_int_equal(s.chunks, l->w.live);
    check_and_free(&l->b);
}

/* Four times: from nothing, from kept chunks, from some of them, with a reserve before. */
static void life_through(life *l)
{
    for (size_t n = 0; n < 4; n++) {
        if (n == 3) {
            size_t held = l->w.held;
            int error = tsmbr_reserve(&l->r, 200000);
            l->refused += error != 0;
            assert_true(error == 0 || (error == ENOMEM && errno == ENOMEM && l->w.held == held));
        }
        life_blocks(l, n);
        life_settled(l);
        if (n < 3)
            tsmbr_reset(&l->r, n == 1 ? 60000 : SIZE_MAX);
    }
}

static void fail_by_every_path(size_t in_a_row)
{
    const size_t initial_sizes[] = {0, 40000, 300000}; /* the larger ones have lanes from the start */
    size_t refused = 0, refused_twice = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t calls_without_failure = 0;
        for (size_t k = 0; k == 0 || k <= calls_without_failure + 3; k++)
            for (size_t shared_only = 0; shared_only < 2; shared_only++) {
                static life l;
                memset(&l, 0, sizeof l);
                watch_open(&l.w);
                l.w.fail_call = k;
                l.w.fail_more = in_a_row - 1;
                tsmbr_init(&l.r, &(tsmbr_config){.upstream = &l.w.upstream,
                                                 .initial_size = initial_sizes[i],
                                                 .flags = shared_only ? TSMBR_SHARED_ONLY : 0});
                life_through(&l);
                if (k == 0) {
                    assert_int_equal(l.refused, 0);
                    calls_without_failure = l.w.calls > calls_without_failure ? l.w.calls : calls_without_failure;
                }
                /* So many calls failed: at most as many requests did. */
                size_t since = k != 0 && l.w.calls >= k ? l.w.calls - k + 1 : 0;
                assert_int_equal(life_failures(&l), since < in_a_row ? since : in_a_row);
                assert_true(l.refused <= life_failures(&l));
                refused += l.refused;
                refused_twice += l.refused_twice;
                /* From here on there is nothing more to be had: what is held is served to the last byte. */
                l.w.refuse_above = 1;
                for (size_t room = largest_room(&l.r); room != 0; room = largest_room(&l.r))
                    assert_non_null(tsmbr_allocate(&l.r, room, 1));
                assert_null(tsmbr_allocate(&l.r, (size_t)1 << 20, 1));
                tsmbr_destroy(&l.r);
                assert_int_equal(l.cleaned, l.registered);
                watch_close(&l.w);
            }
    }
    assert_true(refused > 0);
    assert_int_equal(refused_twice > 0, in_a_row > 1);
}

static void at_every_call_by_every_path(void **state)
{
    (void)state;
    fail_by_every_path(1);
}

/* A request that asks for a chunk, and again for one of its own, is refused both. */
static void at_two_calls_in_a_row(void **state)
{
    (void)state;
    fail_by_every_path(2);
}

/* A thread's first lane in a resource is a block, too: never one that its own request needed. */
typedef struct newcomer {
    tsmbr_resource r;
    size_t bytes;
    size_t alignment;
    unsigned char *got;
} newcomer;

static void newcomer_asks(void *argument, size_t index)
{
    (void)index;
    newcomer *n = argument;
    n->got = tsmbr_allocate(&n->r, n->bytes, n->alignment);
}

static void the_last_room_goes_to_the_request(void **state)
{
    (void)state;
    enum { SIZE = 1 << 16 };
    static _Alignas(64) unsigned char buffer[SIZE];
    const size_t rooms[] = {1, 128, 254, 255, 256, 300, 511, 512, 1000, 5000, 60000};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        for (size_t alignment = 1; alignment <= 64; alignment *= 8) {
            newcomer n = {.bytes = rooms[i], .alignment = alignment};
            tsmbr_init(&n.r,
                       &(tsmbr_config){.upstream = tsmbr_null_upstream(), .buffer = buffer, .buffer_size = SIZE});
            /* A chunk's first block comes alone, and this one leaves just the room there is to be. */
            size_t before = (SIZE - rooms[i]) / alignment * alignment;
            assert_non_null(tsmbr_allocate(&n.r, before, 1));
            run_threads(1, newcomer_asks, &n);
            assert_ptr_equal(n.got, buffer + before);
            tsmbr_destroy(&n.r);
        }
}

/* ---------------------------------------------------------------------------- with threads -- */

enum { THREADS = 8 };

typedef struct company {
    watch w;
    tsmbr_resource r;
    blocks b[THREADS];
    tally t[THREADS];
} company;

static void company_member(void *argument, size_t index)
{
    company *c = argument;
    c->t[index] = work(&c->r, &c->b[index]);
}

static void in_company(void **state)
{
    (void)state;
    size_t refused = 0;
    for (size_t k = 2; k < 12; k++) {
        static company c;
        memset(&c, 0, sizeof c);
        watch_open(&c.w);
        c.w.fail_every = k;
        c.w.refuse_above = (size_t)3000 * k;
        tsmbr_init(&c.r, &(tsmbr_config){.upstream = &c.w.upstream});
        run_threads(THREADS, company_member, &c);
        blocks all = {0};
        for (int i = 0; i < THREADS; i++) {
            blocks_append(&all, &c.b[i]);
            blocks_free(&c.b[i]);
            refused += c.t[i].refused;
        }
        tsmbr_statistics s;
        tsmbr_get_statistics(&c.r, &s);
        assert_int_equal(s.reserved_bytes, c.w.held);
        assert_int_equal(s.chunks, c.w.live);
        check_and_free(&all);
        tsmbr_destroy(&c.r);
        watch_close(&c.w);
    }
    assert_true(refused > 0);
}

/* ------------------------------------------------------------- every path, and every call, with threads -- */

typedef struct crowd {
    watch w;
    tsmbr_resource r;
    blocks b[THREADS];
    atomic_size_t refused;
    atomic_size_t odd_errno;
    atomic_size_t not_copied;
    atomic_size_t registered, cleaned;
    atomic_size_t with_lanes; /* threads */
} crowd;

static void crowd_cleaned(void *c)
{
    ((crowd *)c)->cleaned++;
}

static void crowd_refused(crowd *c, int error)
{
    c->refused++;
    c->odd_errno += error != ENOMEM;
}

static void crowd_note(crowd *c, size_t index, void *p, size_t bytes)
{
    if (p == NULL)
        crowd_refused(c, errno);
    else
        blocks_add(&c->b[index], p, bytes, index * 100000 + c->b[index].count);
}

/* A block that is made larger, by itself if need be. The old one stays what it was if that is refused. */
static void crowd_grow(crowd *c, size_t index, unsigned char *p, size_t bytes, size_t grown)
{
    memset(p, (int)index + 1, bytes);
    unsigned char *moved = tsmbr_reallocate(&c->r, p, bytes, grown, 8);
    if (moved == NULL)
        crowd_refused(c, errno);
    unsigned char *now = moved != NULL ? moved : p;
    for (size_t i = 0; i < bytes; i++)
        c->not_copied += now[i] != index + 1;
    crowd_note(c, index, now, moved != NULL ? grown : bytes);
}

static void crowd_member(void *argument, size_t index)
{
    crowd *c = argument;
    dice d = dice_make(5, index);
    tsmbr_lane run;
    tsmbr_lane_open(&run, &c->r);
    const size_t least = 30, rounds = rounds_for(300); /* so many have blocks of each size among them */
    for (size_t i = 0; i < (rounds < least ? least : rounds); i++) {
        size_t bytes = i % 50 == 20 ? 9000 : i % 100 == 10 ? 60000 : 1 + dice_below(&d, 300);
        errno = 0;
        if (i % 3 == 0) {
            crowd_note(c, index, tsmbr_lane_allocate(&run, bytes, 8), bytes);
            continue;
        }
        void *p = tsmbr_allocate(&c->r, bytes, 8);
        if (p != NULL && i % 3 == 1)
            crowd_grow(c, index, p, bytes, bytes + dice_below(&d, 200));
        else
            crowd_note(c, index, p, bytes);
        if (i % 20 == 5) {
            int error = tsmbr_on_release(&c->r, crowd_cleaned, c);
            c->registered += error == 0;
            if (error != 0)
                crowd_refused(c, error);
        }
    }
    tsmbr_lane_close(&run);
    c->with_lanes += lane_mine(resource_of(&c->r), &tsmbr_thread) != NULL;
}

/* At rest, and from here on with nothing more to be had: what is held is served to the last byte. */
static void crowd_settled(crowd *c)
{
    blocks all = {0};
    for (int i = 0; i < THREADS; i++) {
        blocks_append(&all, &c->b[i]);
        blocks_free(&c->b[i]);
    }
    const resource *r = resource_of(&c->r);
    assert_int_equal(reserved_load_relaxed(r), c->w.held);
    assert_int_equal(published_load_relaxed(r), c->w.held);
    assert_int_equal(c->odd_errno, 0);
    assert_int_equal(c->not_copied, 0);
    check_and_free(&all);
    c->w.fail_call = 0;
    if (c->w.held == 0)
        assert_non_null(tsmbr_allocate(&c->r, 1, 1));
    c->w.refuse_above = 1;
    for (size_t room = largest_room(&c->r); room != 0; room = largest_room(&c->r))
        assert_non_null(tsmbr_allocate(&c->r, room, 1));
}

/* The k-th call of the upstream fails, whichever thread makes it: by threads' lanes, or without, and explicit
 * ones, in growth by reallocate, for a cleanup; without a limit, under one that is wide, and under one that is
 * reached. */
static void fail_in_company(size_t initial_size, size_t limit, unsigned flags)
{
    bool lanes = (flags & TSMBR_SHARED_ONLY) == 0;
    size_t calls_without_failure = 0, refused = 0, with_lanes = 0;
    for (size_t k = 0; k == 0 || k <= calls_without_failure + 3; k++) {
        static crowd c;
        memset(&c, 0, sizeof c);
        watch_open(&c.w);
        c.w.fail_call = k;
        tsmbr_init(&c.r,
                   &(tsmbr_config){
                       .upstream = &c.w.upstream, .initial_size = initial_size, .limit = limit, .flags = flags});
        run_threads(THREADS, crowd_member, &c);
        if (k == 0)
            calls_without_failure = c.w.calls;
        refused += c.refused;
        if (limit == 300000)
            assert_true(c.refused > 0);
        else
            assert_true(c.refused <= (k != 0)); /* one call failed: at most one request did */
        /* Under a limit that is reached the chunk that would have had lanes may be the one refused. */
        with_lanes += c.with_lanes;
        assert_true(!lanes || c.with_lanes > 0 || limit == 300000);
        assert_true(limit == 0 || c.w.peak <= limit);
        crowd_settled(&c);
        tsmbr_destroy(&c.r);
        assert_int_equal(c.cleaned, c.registered);
        watch_close(&c.w);
    }
    assert_true(refused > 0);
    assert_int_equal(with_lanes > 0, lanes);
}

static void in_company_at_every_call(void **state)
{
    (void)state;
    const size_t limits[] = {0, (size_t)64 << 20, 300000};
    for (size_t n = 0; n < sizeof limits / sizeof *limits; n++)
        for (int way = 0; way < 4; way++)
            fail_in_company(way % 2 == 0 ? 0 : 40000, limits[n], way / 2 == 0 ? 0 : TSMBR_SHARED_ONLY);
}

/* ---------------------------------------------------------------- one budget, several resources -- */

enum { SHARERS = 4, BUDGET = 3000000 };

typedef struct purse {
    watch w;
    tsmbr_resource r[SHARERS];
    blocks b[THREADS];
    atomic_size_t refused;
    atomic_size_t odd_errno;
    size_t overdrawn;
    size_t unsettled;
    size_t overlaps;
    size_t starved;
} purse;

static void purse_work(void *argument, size_t index, size_t round)
{
    purse *q = argument;
    dice d = dice_make(run_seed(), round * THREADS + index);
    for (int refusals = 0; refusals < 5 && q->b[index].count < 3000;) {
        size_t bytes = 1 + dice_size(&d, 60000);
        errno = 0;
        /* Its own resource most of the time, now and then one of the others. */
        void *p =
            tsmbr_allocate(&q->r[dice_below(&d, 4) != 0 ? index % SHARERS : dice_below(&d, SHARERS)], bytes, 8);
        if (p == NULL) {
            q->odd_errno += errno != ENOMEM;
            q->refused++;
            refusals++;
        } else {
            blocks_add(&q->b[index], p, bytes, dice_roll(&d));
        }
    }
}

static void purse_at_rest(void *argument, size_t round)
{
    purse *q = argument;
    blocks all = {0};
    for (int i = 0; i < THREADS; i++) {
        blocks_append(&all, &q->b[i]);
        blocks_free(&q->b[i]);
    }
    q->overlaps += blocks_check(&all);
    blocks_free(&all);
    size_t reserved = 0;
    for (int i = 0; i < SHARERS; i++) {
        tsmbr_statistics s;
        tsmbr_get_statistics(&q->r[i], &s);
        reserved += s.reserved_bytes;
    }
    q->overdrawn += q->w.peak > BUDGET;
    q->unsettled += reserved != q->w.held;
    /* What one gives back another gets. */
    size_t giver = round % SHARERS, taker = giver % (SHARERS - 1) + 1, before = q->w.held;
    tsmbr_release(&q->r[giver]);
    size_t given = before - q->w.held;
    if (given > 1000)
        q->starved += tsmbr_allocate(&q->r[taker], given - 200, 1) == NULL;
    for (size_t i = 0; i < SHARERS; i++)
        tsmbr_reset(&q->r[i], round % 3 == 0 ? SIZE_MAX : round % 3 == 1 ? 100000 : 0);
}

static void one_budget_for_several(void **state)
{
    (void)state;
    static purse q;
    (void)run_seed();
    watch_open(&q.w);
    q.w.budget = BUDGET;
    for (size_t i = 0; i < SHARERS; i++)
        tsmbr_init(&q.r[i], &(tsmbr_config){.upstream = &q.w.upstream, .limit = i == 0 ? BUDGET / 2 : 0});
    run_rounds(THREADS, rounds_for(60), purse_work, purse_at_rest, &q);
    assert_int_equal(q.overdrawn, 0);
    assert_int_equal(q.unsettled, 0);
    assert_int_equal(q.overlaps, 0);
    assert_int_equal(q.odd_errno, 0);
    assert_int_equal(q.starved, 0);
    assert_true(q.refused > 0);
    for (size_t i = 0; i < SHARERS; i++)
        tsmbr_destroy(&q.r[i]);
    watch_close(&q.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_every_call),
        cmocka_unit_test(with_a_budget),
        cmocka_unit_test(at_every_call_by_every_path),
        cmocka_unit_test(at_two_calls_in_a_row),
        cmocka_unit_test(the_last_room_goes_to_the_request),
        cmocka_unit_test(in_company),
        cmocka_unit_test(in_company_at_every_call),
        cmocka_unit_test(one_budget_for_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
