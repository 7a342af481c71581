/* json.c - one object, printed piece by piece. */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

/* --------------------------------------------------------------------------------------- strings -- */

/* Bytes in the well-formed UTF-8 sequence at the start of `at` (Unicode 15, table 3-7); 0 if there is none. */
static size_t utf8_length(const unsigned char *at, size_t have)
{
    if (at[0] < 0x80)
        return 1;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > have)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] > 0x9f;
    bool too_large = at[0] == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}

static void put_string(const char *text, size_t bytes)
{
    (void)putchar('"');
    const unsigned char *at = (const unsigned char *)text;
    while (bytes != 0) {
        size_t length = utf8_length(at, bytes);
        if (length == 0)
            (void)printf("\\udc%02x", *at);
        else if (*at == '"' || *at == '\\')
            (void)printf("\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            (void)printf("\\u%04x", *at);
        else
            (void)fwrite(at, 1, length, stdout);
        at += length == 0 ? 1 : length;
        bytes -= length == 0 ? 1 : length;
    }
    (void)putchar('"');
}

static void put_text(const char *text)
{
    put_string(text, strlen(text));
}

/* A number, or null where it is not known. */
static void put_known(const char *name, size_t number)
{
    if (number == UNKNOWN)
        (void)printf(", \"%s\": null", name);
    else
        (void)printf(", \"%s\": %zu", name, number);
}

/* --------------------------------------------------------------------------------------- members -- */

static void put_runs(const options *o, const run *runs, size_t count)
{
    (void)printf(",\n\"runs\": [");
    for (size_t i = 0; i < count; i++) {
        const run *r = &runs[i];
        (void)printf("%s\n  {\"allocator\": \"%s\"", i == 0 ? "" : ",",
                     o->compare ? allocator_types[i]->name : o->allocator->name);
        (void)printf(", \"blocks\": %zu, \"bytes_asked\": %zu", r->count.blocks, r->count.bytes);
        put_known("bytes_held", r->held);
        put_known("chunks", r->chunks);
        (void)printf(", \"build_ms\": %.3f, \"teardown_ms\": %.3f", (double)r->build_ns / 1e6,
                     (double)r->teardown_ns / 1e6);
        if (o->compare && r->build_ns != 0)
            (void)printf(", \"speed_up_over_malloc\": %.3f", (double)runs[0].build_ns / (double)r->build_ns);
        (void)printf(", \"words\": %" PRIu64 ", \"postings\": %" PRIu64 ", \"checksum\": \"%016" PRIx64 "\"}",
                     r->found.words, r->found.postings, r->found.checksum);
    }
    (void)printf("]");
}

static void put_top(const survey *s)
{
    (void)printf(",\n\"top\": [");
    for (size_t i = 0; i < s->top_count; i++) {
        (void)printf("%s\n  {\"word\": ", i == 0 ? "" : ",");
        put_string(s->top[i].text, s->top[i].length);
        (void)printf(", \"count\": %" PRIu64 "}", s->top[i].count);
    }
    (void)printf("]");
}

static void put_skipped(const run *r)
{
    (void)printf(",\n\"skipped\": {");
    for (size_t kind = 0; kind < SKIP_KINDS; kind++)
        (void)printf("%s\"%s\": %zu", kind == 0 ? "" : ", ", skip_name((skip)kind), r->skipped[kind]);
    (void)printf("}");
}

/* ---------------------------------------------------------------------------------------- object -- */

void json_begin(const options *o)
{
    (void)printf("{\"program\": \"word_index\", \"version\": \"%s\",\n\"paths\": [", TSMBR_VERSION_STRING);
    for (size_t i = 0; i < o->path_count; i++) {
        (void)printf("%s", i == 0 ? "" : ", ");
        put_text(o->paths[i]);
    }
    (void)printf("],\n\"queries\": [");
}

void json_answer(const char *text, const answer *a, const input *in, bool first)
{
    (void)printf("%s\n  {\"word\": ", first ? "" : ",");
    put_text(text);
    (void)printf(", \"count\": %zu, \"files\": %zu, \"lines\": [", a->occurrences, a->files);
    for (size_t i = 0; i < a->count; i++) {
        (void)printf("%s\n    {\"path\": ", i == 0 ? "" : ",");
        put_text(in->files[a->places[i].file].path);
        (void)printf(", \"line\": %" PRIu64 ", \"count\": %zu}", a->places[i].line, a->places[i].count);
    }
    (void)printf("]}");
}

void json_end(const options *o, const run *runs, size_t count)
{
    const run *r = &runs[0];
    (void)printf("],\n\"threads\": %zu, \"files\": %zu, \"bytes\": %" PRIu64 ", \"words\": %" PRIu64
                 ", \"postings\": %" PRIu64,
                 r->threads, r->files, r->bytes, r->found.words, r->found.postings);
    put_top(&r->found);
    put_runs(o, runs, count);
    put_skipped(r);
    if (o->compare)
        (void)printf(",\n\"rounds\": %zu", o->rounds);
    (void)printf(",\n\"equal\": %s}\n", runs_equal(runs, count) ? "true" : "false");
}
