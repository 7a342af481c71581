/* Give / TakeWon: threads end while others start, over several long-lived resources. Who gets a slot goes on in
 * its lanes where the one before stopped, so memory is bounded; under a thread sanitizer this fails unless giving
 * and taking are ordered. Blocks are also taken in destructors that run when the slot is gone. */
#include "lane.h"

#include "support.h"

#include <stdatomic.h>
#include <stdio.h>

enum { AT_ONCE = 8, RESOURCES = 5, BLOCKS = 4 };

static struct {
    tsmbr_resource r[RESOURCES];
    blocks b[AT_ONCE];
    atomic_size_t asked;
    atomic_size_t faults;
    atomic_size_t late;
    atomic_uint highest; /* slot */
} stage;

typedef struct life {
    size_t keeper;
    uint64_t stream;
} life;

static void take_blocks(const life *f, size_t count)
{
    dice d = dice_make(run_seed(), f->stream);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = 1 + dice_below(&d, 40);
        void *p = tsmbr_allocate(&stage.r[dice_below(&d, RESOURCES)], bytes, 1);
        if (p == NULL) {
            stage.faults++;
            continue;
        }
        blocks_add(&stage.b[f->keeper], p, bytes, dice_roll(&d));
        stage.asked += bytes;
    }
}

/* Runs after the library's own. */
static void end_of_life(void *argument)
{
    life *f = argument;
    stage.late += tsmbr_thread.standing == THREAD_WITHOUT;
    stage.faults += tsmbr_thread.standing == THREAD_WITHOUT && tsmbr_thread.group != 0;
    f->stream += 1u << 30;
    take_blocks(f, 1);
}

#if defined(_WIN32)
#include <windows.h>

/* A destructor of winpthreads' would run before the library hears of the thread's end. */
static DWORD key = TLS_OUT_OF_INDEXES;

static void NTAPI at_thread_end(void *module, DWORD reason, void *reserved)
{
    (void)module;
    (void)reserved;
    if (reason == DLL_THREAD_DETACH && key != TLS_OUT_OF_INDEXES && TlsGetValue(key) != NULL)
        end_of_life(TlsGetValue(key));
}

/* Behind XLF, the library's. */
__attribute__((__section__(".CRT$XLY"), __used__)) static PIMAGE_TLS_CALLBACK at_thread_end_callback =
    at_thread_end;

static bool key_make(void)
{
    key = TlsAlloc();
    return key != TLS_OUT_OF_INDEXES;
}

static bool key_set(void *argument)
{
    return TlsSetValue(key, argument);
}
#else
static pthread_key_t key;

static bool key_make(void)
{
    return pthread_key_create(&key, end_of_life) == 0; /* the library's is older */
}

static bool key_set(void *argument)
{
    return pthread_setspecific(key, argument) == 0;
}
#endif

static void *live(void *argument)
{
    stage.faults += !key_set(argument);
    take_blocks(argument, BLOCKS);
    unsigned slot = tsmbr_thread.group != 0 ? tsmbr_thread.slot : 0, seen = stage.highest;
    while (slot > seen && !atomic_compare_exchange_weak(&stage.highest, &seen, slot))
        ;
    return NULL;
}

static void keep_starting(void *argument, size_t index)
{
    (void)argument;
    for (size_t i = 0; i < rounds_for(3000); i++) {
        life f = {index, i * AT_ONCE + index};
        pthread_t thread;
        if (pthread_create(&thread, NULL, live, &f) != 0 || pthread_join(thread, NULL) != 0)
            stage.faults++;
    }
}

static void short_lives_leave_nothing_behind(void **state)
{
    (void)state;
    assert_true(key_make());
    for (int i = 0; i < RESOURCES; i++)
        tsmbr_init(&stage.r[i], &(tsmbr_config){.initial_size = 1 << 17});
    (void)run_seed();
    run_threads(AT_ONCE, keep_starting, NULL);
    assert_int_equal(stage.faults, 0);
    assert_true(stage.late > 0);
    /* A thread has given its slot back before it is joined: no more than these and main ever hold one. */
    assert_true(stage.highest <= AT_ONCE);
    blocks all = {0};
    size_t allocated = 0, reserved = 0;
    for (int i = 0; i < AT_ONCE; i++) {
        blocks_append(&all, &stage.b[i]);
        blocks_free(&stage.b[i]);
    }
    assert_int_equal(blocks_check(&all), 0);
    blocks_free(&all);
    for (int i = 0; i < RESOURCES; i++) {
        tsmbr_statistics s;
        tsmbr_get_statistics(&stage.r[i], &s);
        allocated += s.allocated_bytes;
        reserved += s.reserved_bytes;
        tsmbr_destroy(&stage.r[i]);
    }
    assert_int_equal(allocated, stage.asked);
    printf("%zu threads: %zu bytes asked, %zu held\n", AT_ONCE * rounds_for(3000), allocated, reserved);
    assert_true(reserved <= 2 * allocated + RESOURCES * (1 << 18));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(short_lives_leave_nothing_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
