/* session.c - build, survey, teardown. */
#include "session.h"

#include <stdio.h>
#include <string.h>

#include "progress.h"

static void count_outcomes(run *out, const input *in, size_t long_words)
{
    const unsigned nothing = 1u << SKIP_UNREADABLE | 1u << SKIP_VANISHED;
    const unsigned left_out = nothing | 1u << SKIP_BINARY | 1u << SKIP_EMPTY;
    memcpy(out->skipped, in->skipped, sizeof out->skipped);
    for (size_t i = 0; i < in->file_count; i++) {
        unsigned met = atomic_load_explicit(&in->outcomes[i], memory_order_relaxed); /* at rest */
        for (size_t kind = 0; kind < SKIP_KINDS; kind++)
            out->skipped[kind] += met >> kind & 1u;
        out->files += (met & left_out) == 0;
        out->readable += (met & nothing) == 0;
    }
    out->skipped[SKIP_LONG_WORD] = long_words;
}

void session_build(session *s, run *out, input *in, const allocator_type *type, size_t limit, size_t threads,
                   size_t top, const char *label)
{
    *s = (session){.memory = {.type = type}};
    *out = (run){.status = BUILD_OUT_OF_MEMORY};
    uint64_t started = clock_ns();
    s->index.memory = &s->memory;
    if (!type->open(&s->memory, limit) || !index_init(&s->index, &s->memory, in->bytes, &out->count))
        return;
    build_result built = build_run(in, &s->index, threads, label);
    out->build_ns = clock_ns() - started;
    out->status = built.status;
    out->threads = built.threads;
    out->count.blocks += built.count.blocks;
    out->count.bytes += built.count.bytes;
    out->bytes = built.bytes_read;
    holding held = type->held(&s->memory);
    out->held = held.bytes;
    out->chunks = held.chunks;
    count_outcomes(out, in, built.long_words);
    if (out->status != BUILD_DONE || top == 0)
        return;
    input_number_lines(in);
    survey_take(&out->found, &s->index, in, top);
}

void session_end(session *s, run *out)
{
    uint64_t started = clock_ns();
    index_teardown(&s->index);
    out->teardown_ns = clock_ns() - started;
}

bool run_ok(const run *r, const char *name, size_t limit)
{
    if (r->status == BUILD_NO_THREADS)
        (void)fprintf(
            stderr, "word_index: no thread could be started: try --threads 1, or raise the limits (ulimit -a)\n");
    else if (r->status == BUILD_OUT_OF_MEMORY && limit != 0)
        (void)fprintf(stderr, "word_index: %s: out of memory under --limit %zu: raise it or index less\n", name,
                      limit);
    else if (r->status == BUILD_OUT_OF_MEMORY)
        (void)fprintf(stderr, "word_index: %s: out of memory: index less, or free some\n", name);
    return r->status == BUILD_DONE;
}
