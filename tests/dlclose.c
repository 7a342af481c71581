/* The library is unloaded while threads that have used it live on. The shared library stays in the process, so a
 * thread may end at any time; a module that holds the static one goes, and no thread calls into it later. */
#include "dlclose.h"

#include "support.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

/* More often than there are keys for thread-local data. */
enum { LOADS = 1100, STAYING = 3, PASSING = 2, BLOCKS = 40 };

#if defined(_WIN32)
static void *symbol(void *handle, const char *name)
{
    FARPROC address = GetProcAddress(handle, name);
    if (address == NULL)
        fail_msg("%s: error %u", name, (unsigned)GetLastError());
    return *(void **)(void *)&address;
}

static void *load(const char *path)
{
    void *handle = LoadLibraryA(path);
    if (handle == NULL)
        fail_msg("%s: error %u", path, (unsigned)GetLastError());
    return handle;
}

static bool unload(void *handle)
{
    return FreeLibrary(handle);
}

enum { UNLOADS = 1 };

static bool is_loaded(const char *path)
{
    return GetModuleHandleA(path) != NULL;
}
#else
static void *symbol(void *handle, const char *name)
{
    void *address = dlsym(handle, name);
    if (address == NULL)
        fail_msg("%s: %s", name, dlerror());
    return address;
}

static void *load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        fail_msg("%s: %s", path, dlerror());
    return handle;
}

static bool unload(void *handle)
{
    return dlclose(handle) == 0;
}

#if defined(__GLIBC__)
enum { UNLOADS = 1 };
#else /* musl never does */
enum { UNLOADS = 0 };
#endif

static bool is_loaded(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (handle != NULL)
        assert_true(unload(handle));
    return handle != NULL;
}
#endif

#define FIND(handle, function, name) (*(void **)(void *)&(function) = symbol((handle), (name)))

static void library_calls(void *handle, calls *c)
{
    FIND(handle, c->init, "tsmbr_init");
    FIND(handle, c->allocate, "tsmbr_allocate");
    FIND(handle, c->on_release, "tsmbr_on_release");
    FIND(handle, c->get_statistics, "tsmbr_get_statistics");
    FIND(handle, c->destroy, "tsmbr_destroy");
}

static void plugin_calls_of(void *handle, calls *c)
{
    *c = *(const calls *)symbol(handle, "plugin_calls");
}

/* ------------------------------------------------------------------------ loaded again and again -- */

static struct {
    tsmbr_resource r;
    calls c;
    block blocks[STAYING + PASSING][BLOCKS];
    pthread_barrier_t loaded, used, unloaded;
    size_t loads;
    atomic_size_t refused;
} stage;

static void use(size_t index)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        block *b = &stage.blocks[index][i];
        b->bytes = 8 + i;
        b->pattern = index * BLOCKS + i;
        b->ptr = stage.c.allocate(&stage.r, b->bytes, 1);
        if (b->ptr == NULL)
            stage.refused++;
        else
            pattern_write(b);
    }
}

static void *stay(void *index)
{
    for (size_t i = 0; i < stage.loads; i++) {
        pthread_barrier_wait(&stage.loaded);
        use(*(size_t *)index);
        pthread_barrier_wait(&stage.used);
        pthread_barrier_wait(&stage.unloaded);
    }
    return NULL;
}

static void *pass(void *index)
{
    pthread_barrier_wait(&stage.loaded);
    use(*(size_t *)index);
    pthread_barrier_wait(&stage.used);
    pthread_barrier_wait(&stage.unloaded);
    return NULL; /* here the system would call what is gone */
}

static void load_and_unload(const char *path, void (*find)(void *, calls *), bool stays)
{
    stage.loads = LOADS;
    for (int i = 0; i < 3; i++)
        pthread_barrier_init(i == 0   ? &stage.loaded
                             : i == 1 ? &stage.used
                                      : &stage.unloaded,
                             NULL, STAYING + PASSING + 1);
    pthread_t threads[STAYING + PASSING];
    size_t indices[STAYING + PASSING];
    for (size_t i = 0; i < STAYING + PASSING; i++)
        indices[i] = i;
    for (size_t i = 0; i < STAYING; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stay, &indices[i]), 0);
    for (size_t n = 0; n < stage.loads; n++) {
        for (size_t i = STAYING; i < STAYING + PASSING; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, pass, &indices[i]), 0);
        void *handle = load(path);
        find(handle, &stage.c);
        stage.c.init(&stage.r, &(tsmbr_config){.initial_size = 1 << 16});
        pthread_barrier_wait(&stage.loaded);
        pthread_barrier_wait(&stage.used);
        /* Had two threads one slot, or a thread an old one, blocks would overlap. */
        for (size_t i = 0; i < STAYING + PASSING; i++)
            for (size_t k = 0; k < BLOCKS; k++)
                assert_true(pattern_intact(&stage.blocks[i][k]));
        stage.c.destroy(&stage.r);
        assert_true(unload(handle));
        if (n == 0 && UNLOADS)
            assert_int_equal(is_loaded(path), stays);
        pthread_barrier_wait(&stage.unloaded);
        for (size_t i = STAYING; i < STAYING + PASSING; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (size_t i = 0; i < STAYING; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_barrier_destroy(i == 0 ? &stage.loaded : i == 1 ? &stage.used : &stage.unloaded);
    assert_int_equal(stage.refused, 0);
    /* The process has as many keys as before. */
    pthread_key_t key;
    assert_int_equal(pthread_key_create(&key, NULL), 0);
    pthread_key_delete(key);
}

/* Promised for ELF. */
static void skip_if_it_goes(void)
{
#if defined(_WIN32)
    skip();
#endif
}

static void the_shared_library_stays(void **state)
{
    (void)state;
    skip_if_it_goes();
    load_and_unload(TSMBR_LIBRARY, library_calls, true);
}

static void a_module_that_holds_the_library_goes(void **state)
{
    (void)state;
    load_and_unload(TSMBR_PLUGIN, plugin_calls_of, false);
}

/* ------------------------------------------------------------------ threads that end meanwhile -- */

static void *use_and_end(void *used)
{
    for (int i = 0; i < 3; i++)
        stage.refused += stage.c.allocate(&stage.r, 10, 1) == NULL;
    (void)pthread_barrier_wait(used);
    return NULL;
}

/* The system may just be calling the library about a thread's end when it is unloaded. */
static void threads_end_while_the_shared_library_is_unloaded(void **state)
{
    (void)state;
    enum { AT_ONCE = 4 };
    skip_if_it_goes();
    pthread_barrier_t used;
    pthread_barrier_init(&used, NULL, AT_ONCE + 1);
    for (size_t n = 0; n < rounds_for(1000); n++) {
        void *handle = load(TSMBR_LIBRARY);
        library_calls(handle, &stage.c);
        stage.c.init(&stage.r, &(tsmbr_config){.initial_size = 1 << 16});
        pthread_t threads[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, use_and_end, &used), 0);
        pthread_barrier_wait(&used);
        stage.c.destroy(&stage.r);
        assert_true(unload(handle));
        for (int i = 0; i < AT_ONCE; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    pthread_barrier_destroy(&used);
    assert_int_equal(stage.refused, 0);
}

/* ------------------------------------------------------------------------- two copies at once -- */

static struct {
    calls c[2];
    tsmbr_resource r;
    block got[8][2000];
} both;

static void use_a_copy(void *argument, size_t index)
{
    (void)argument;
    for (size_t i = 0; i < sizeof both.got[0] / sizeof *both.got[0]; i++) {
        block *b = &both.got[index][i];
        b->bytes = 8 + i % 50;
        b->pattern = (uint64_t)index << 32 | i;
        b->ptr = both.c[index % 2].allocate(&both.r, b->bytes, 1);
        if (b->ptr == NULL)
            abort();
        pattern_write(b);
    }
}

/* Copies do not know of each other's threads, so they may share a resource only if that has no lanes. */
static void copies_share_a_resource_without_lanes(void **state)
{
    (void)state;
    void *library = load(TSMBR_LIBRARY), *plugin = load(TSMBR_PLUGIN);
    library_calls(library, &both.c[0]);
    plugin_calls_of(plugin, &both.c[1]);
    both.c[0].init(&both.r, &(tsmbr_config){.initial_size = 1 << 16, .flags = TSMBR_SHARED_ONLY});
    run_threads(8, use_a_copy, NULL);
    blocks all = {0};
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < sizeof both.got[0] / sizeof *both.got[0]; k++) {
            const block *b = &both.got[i][k];
            assert_true(pattern_intact(b));
            blocks_add(&all, b->ptr, b->bytes, b->pattern);
        }
    assert_int_equal(blocks_check(&all), 0);
    blocks_free(&all);
    both.c[1].destroy(&both.r);
    assert_true(unload(plugin));
    assert_true(unload(library));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shared_library_stays),
        cmocka_unit_test(a_module_that_holds_the_library_goes),
        cmocka_unit_test(copies_share_a_resource_without_lanes),
        cmocka_unit_test(threads_end_while_the_shared_library_is_unloaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
