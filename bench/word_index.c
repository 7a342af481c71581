/* word_index.c - the example's sources, given an allocator that calls back. */
#include "word_index.h"

#include "../examples/word_index/session.h"

/* The example's table of functions has no context. */
static const word_index_memory *source;

static bool source_open(allocator *self, size_t limit)
{
    (void)self;
    (void)limit;
    return true;
}

static void *source_allocate(allocator *self, size_t bytes, size_t alignment)
{
    (void)self;
    return source->allocate(source->context, bytes, alignment);
}

static void source_free(allocator *self, void *ptr)
{
    (void)self;
    if (ptr != NULL)
        source->free(source->context, ptr);
}

static holding source_held(const allocator *self)
{
    (void)self;
    return (holding){UNKNOWN, UNKNOWN};
}

static void source_teardown(allocator *self)
{
    (void)self;
}

bool word_index_measure(const char *path, const word_index_memory *memory, size_t threads, word_index_times *out)
{
    static session s;
    static run result;
    source = memory;
    const allocator_type type = {
        "bench",     source_open,     source_allocate, memory->free != NULL ? source_free : NULL,
        source_held, source_teardown,
    };
    input in;
    bool ok = input_walk(&in, &path, 1) && in.file_count != 0;
    /* Once without an index, so that no contender is the one that fetches the files from the disk. */
    ok = ok && build_run(&in, NULL, threads, NULL).status == BUILD_DONE;
    if (ok) {
        session_build(&s, &result, &in, &type, 0, threads, 0, NULL);
        ok = result.status == BUILD_DONE;
        session_end(&s, &result);
        out->seconds = (double)(result.build_ns + result.teardown_ns) / 1e9;
        out->blocks = result.count.blocks;
    }
    input_destroy(&in);
    return ok;
}
