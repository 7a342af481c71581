/* An upstream that fails: at the k-th call for every k, every so often, above a size, over a budget.
 * After each failure the resource serves what fits, and in the end every byte is back. */
#include "support.h"

#include <errno.h>
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

static void at_two_calls_in_a_row(void **state)
{
    (void)state;
    size_t refused = 0;
    for (size_t k = 2; k < 30; k++) {
        watch w;
        watch_open(&w);
        w.fail_every = k;
        w.refuse_above = 5000;
        tsmbr_resource r;
        tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream});
        blocks b = {0};
        tally t = work(&r, &b);
        assert_true(t.served > 50);
        refused += t.refused;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_every_call),
        cmocka_unit_test(at_two_calls_in_a_row),
        cmocka_unit_test(with_a_budget),
        cmocka_unit_test(in_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
