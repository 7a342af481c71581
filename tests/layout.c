/* Which words share cache lines. A resource may start at any multiple of a pointer's size, so groups
 * are kept apart by distance, not by alignment. Others' fault: rocksdb 12705, padding that does not
 * stop false sharing because nothing aligns it. */
#include "support.h"

#include "layout.h"

typedef struct span {
    size_t first;
    size_t last;
} span;

#define SPAN(from, to)                                                                                            \
    {                                                                                                             \
        offsetof(resource, from), offsetof(resource, to) + sizeof(((resource *)0)->to) - 1                        \
    }

static void groups_never_share_a_line(void **state)
{
    (void)state;
    const span groups[] = {SPAN(lanes, ahead), SPAN(buffer, buffer), SPAN(reserved, lost)};
    for (size_t base = 0; base < PLACE_LINE; base += sizeof(void *))
        for (size_t i = 0; i + 1 < 3; i++)
            assert_true((base + groups[i].last) / PLACE_LINE < (base + groups[i + 1].first) / PLACE_LINE);
}

static void private_fits_in_public(void **state)
{
    (void)state;
    assert_true(sizeof(resource) <= sizeof(tsmbr_resource));
    assert_true(sizeof(tsmbr_resource) <= 512);
    assert_int_equal(sizeof(tsmbr_resource) % _Alignof(resource), 0);
}

/* Nothing the library hands out or the upstream granted lies on the line of a chunk's record. */
static void records_have_their_line_to_themselves(void **state)
{
    (void)state;
    for (size_t misalign = 0; misalign < 64; misalign += 7) {
        watch w;
        watch_open(&w);
        w.misalign = misalign;
        tsmbr_resource r;
        assert_int_equal(tsmbr_init(&r, &(tsmbr_config){.upstream = &w.upstream}), 0);
        unsigned char *p = NULL, *last = NULL;
        while ((p = tsmbr_allocate(&r, 1, 1)) != NULL && w.calls < 2)
            last = p;
        const chunk *first = resource_of(&r)->head;
        while (first->prev != NULL)
            first = first->prev;
        assert_int_equal((uintptr_t)first % PLACE_LINE, 0);
        assert_true((uintptr_t)last / PLACE_LINE < (uintptr_t)first / PLACE_LINE);
        assert_true(watch_granted(&w, first, PLACE_LINE));
        tsmbr_destroy(&r);
        watch_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_never_share_a_line),
        cmocka_unit_test(private_fits_in_public),
        cmocka_unit_test(records_have_their_line_to_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
