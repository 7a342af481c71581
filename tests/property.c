/* Random programs of calls on one resource against a naive model.
 *
 * The model knows each live block, and nothing else. Every block must lie in memory the upstream
 * granted or in the caller's buffer, be aligned, be apart from every other, and keep its contents
 * to the end. Accounts must add up at every step. */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRAMS = 400, STEPS = 600 };

typedef struct model {
    dice d;
    watch w;
    tsmbr_resource r;
    unsigned char *buffer;
    size_t buffer_size;
    size_t limit;
    size_t most_bytes;
    size_t most_alignment;
    blocks b;
    size_t cleanups_due;
    size_t cleanups_run;
} model;

static bool in_range(const unsigned char *p, size_t bytes, const unsigned char *start, size_t size)
{
    return (uintptr_t)p >= (uintptr_t)start && (uintptr_t)p - (uintptr_t)start <= size &&
           bytes <= size - ((uintptr_t)p - (uintptr_t)start);
}

static bool in_granted_memory(model *m, const unsigned char *p, size_t bytes)
{
    return in_range(p, bytes, m->buffer, m->buffer_size) || watch_granted(&m->w, p, bytes);
}

static void model_open(model *m, uint64_t program)
{
    memset(m, 0, sizeof *m);
    m->d = dice_make(run_seed(), program);
    watch_open(&m->w);
    m->w.misalign = dice_below(&m->d, 4) == 0 ? dice_below(&m->d, 70) : 0;
    m->w.refuse_above = dice_below(&m->d, 4) == 0 ? 200 + dice_below(&m->d, 20000) : 0;
    m->w.budget = dice_below(&m->d, 5) == 0 ? dice_below(&m->d, 300000) : 0;
    m->w.fail_every = dice_below(&m->d, 4) == 0 ? 2 + dice_below(&m->d, 5) : 0;
    m->limit = dice_below(&m->d, 4) == 0 ? dice_below(&m->d, 500000) : 0;
    m->most_bytes = (size_t)1 << dice_below(&m->d, 17);
    m->most_alignment = (size_t)1 << dice_below(&m->d, 13);
    if (dice_below(&m->d, 2) == 0) {
        m->buffer_size = dice_size(&m->d, 5000);
        m->buffer = malloc(m->buffer_size + 1); /* one more: malloc(0) may be NULL */
        assert_non_null(m->buffer);
    }
    const tsmbr_config config = {
        .upstream = &m->w.upstream,
        .initial_size = dice_below(&m->d, 3) == 0 ? dice_size(&m->d, 100000) : 0,
        .buffer = m->buffer,
        .buffer_size = m->buffer_size,
        .limit = m->limit,
        .flags = dice_below(&m->d, 2) == 0 ? TSMBR_SHARED_ONLY : 0,
    };
    assert_int_equal(tsmbr_init(&m->r, &config), 0);
}

static void take(model *m, void *p, size_t bytes, size_t alignment)
{
    if (p == NULL) {
        assert_int_equal(errno, ENOMEM);
        assert_true(m->limit != 0 || m->w.refuse_above != 0 || m->w.budget != 0 || m->w.fail_every != 0);
        return;
    }
    assert_int_equal((uintptr_t)p % alignment, 0);
    assert_true(in_granted_memory(m, p, bytes == 0 ? 1 : bytes));
    assert_true(tsmbr_owns(&m->r, p));
    blocks_add(&m->b, p, bytes, dice_roll(&m->d));
}

static void step_allocate(model *m)
{
    size_t bytes = dice_size(&m->d, m->most_bytes);
    size_t alignment = dice_alignment(&m->d, m->most_alignment);
    errno = 0;
    take(m, tsmbr_allocate(&m->r, bytes, alignment), bytes, alignment);
}

static void step_try_allocate(model *m)
{
    size_t bytes = dice_size(&m->d, m->most_bytes), calls = m->w.calls;
    void *p = tsmbr_try_allocate(&m->r, bytes, 2);
    assert_int_equal(m->w.calls, calls);
    if (p != NULL)
        take(m, p, bytes, 2);
}

/* Resize the block that was handed out last, or any other. */
static void step_resize(model *m, bool reallocate)
{
    if (m->b.count == 0)
        return;
    size_t i = dice_below(&m->d, 3) != 0 ? m->b.count - 1 : dice_below(&m->d, m->b.count);
    block old = m->b.items[i];
    size_t bytes = dice_size(&m->d, m->most_bytes);
    assert_true(pattern_intact(&old));
    unsigned char *p = old.ptr;
    if (reallocate) {
        p = tsmbr_reallocate(&m->r, old.ptr, old.bytes, bytes, 1);
        if (p == NULL)
            return;
    } else if (!tsmbr_try_resize(&m->r, old.ptr, old.bytes, bytes)) {
        assert_true(bytes > old.bytes);
        return;
    }
    assert_true(in_granted_memory(m, p, bytes == 0 ? 1 : bytes));
    size_t common = bytes < old.bytes ? bytes : old.bytes;
    m->b.items[i] = m->b.items[--m->b.count]; /* a block that moved is garbage */
    if (common > 0)
        assert_true(pattern_intact(&(block){p, common, old.pattern}));
    blocks_add(&m->b, p, bytes, dice_roll(&m->d));
}

static void count_cleanup(void *argument)
{
    ++*(size_t *)argument;
}

static void step_cleanup(model *m)
{
    if (tsmbr_on_release(&m->r, count_cleanup, &m->cleanups_run) == 0)
        m->cleanups_due++;
}

static void step_forget(model *m)
{
    assert_int_equal(blocks_check(&m->b), 0);
    m->b.count = 0;
    size_t keep = dice_below(&m->d, 3) == 0 ? dice_size(&m->d, 1000000) : SIZE_MAX;
    if (dice_below(&m->d, 4) == 0) {
        tsmbr_release(&m->r);
        assert_int_equal(m->w.live, 0);
    } else {
        tsmbr_reset(&m->r, keep);
        assert_true(m->w.held <= keep);
    }
    assert_int_equal(m->cleanups_run, m->cleanups_due);
}

static void check_accounts(model *m)
{
    tsmbr_statistics s;
    tsmbr_get_statistics(&m->r, &s);
    assert_int_equal(s.reserved_bytes, m->w.held);
    assert_int_equal(s.chunks, m->w.live);
    assert_int_equal(s.peak_reserved_bytes, m->w.peak);
    assert_true(m->limit == 0 || m->w.peak <= m->limit);
    size_t asked = 0;
    for (size_t i = 0; i < m->b.count; i++)
        asked += m->b.items[i].bytes == 0 ? 1 : m->b.items[i].bytes;
    assert_true(s.allocated_bytes >= asked);
    assert_true(s.allocated_bytes + s.wasted_bytes <= s.reserved_bytes + m->buffer_size);
}

static void model_close(model *m)
{
    assert_int_equal(blocks_check(&m->b), 0);
    tsmbr_destroy(&m->r);
    assert_int_equal(m->cleanups_run, m->cleanups_due);
    watch_close(&m->w);
    blocks_free(&m->b);
    free(m->buffer);
}

static void random_programs(void **state)
{
    (void)state;
    for (uint64_t program = 0; program < PROGRAMS; program++) {
        static model m;
        model_open(&m, program);
        size_t forget_every = 20 + dice_below(&m.d, 500);
        for (int step = 0; step < STEPS; step++) {
            switch (dice_below(&m.d, 10)) {
            case 0:
                step_resize(&m, false);
                break;
            case 1:
                step_resize(&m, true);
                break;
            case 2:
                step_try_allocate(&m);
                break;
            case 3:
                step_cleanup(&m);
                break;
            default:
                step_allocate(&m);
            }
            if (dice_below(&m.d, forget_every) == 0)
                step_forget(&m);
            if (step % 20 == 0)
                check_accounts(&m);
        }
        model_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
