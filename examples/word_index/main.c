/* main.c - word_index: threads build one inverted index in one shared arena, and drop it with one call.
 *
 *    options.c      the command line
 *    walk.c         which files there are, cut into pieces
 *    build.c        threads take pieces, split them into words,
 *    index.c        and add them to one lock-free index,
 *    allocators.c   whose memory comes from tsmbr, malloc, or an arena behind a mutex
 *    session.c      one such index, timed from start to teardown
 *    compare.c      the same with each allocator, in processes of their own
 *    survey.c       reading the index: totals, top words, places
 *    report.c       showing it to people; json.c to programs; progress.c to the impatient */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "json.h"
#include "options.h"
#include "report.h"

static bool out_of_memory(void)
{
    (void)fprintf(stderr, "word_index: out of memory: index less, or free some\n");
    return false;
}

static bool nothing_read(const size_t skipped[SKIP_KINDS])
{
    report_skipped(stderr, skipped);
    (void)fprintf(stderr, "word_index: nothing to read: give paths of files, or of directories with files\n");
    return false;
}

/* Print where each word occurs, while the index is there. */
static bool print_answers(const options *o, const session *s, const input *in)
{
    if (o->json)
        json_begin(o);
    for (size_t i = 0; i < o->word_count; i++) {
        answer a;
        if (!answer_find(&a, index_find(&s->index, o->words[i], strlen(o->words[i])), in))
            return out_of_memory();
        if (o->json)
            json_answer(o->words[i], &a, in, i == 0);
        else
            report_answer(o->words[i], &a, in);
        answer_destroy(&a);
    }
    return true;
}

/* One index, from first to last. */
static bool index_once(const options *o, input *in, run *r)
{
    session s;
    session_build(&s, r, in, o->allocator, o->limit, o->threads, o->top, "reading");
    bool ok = run_ok(r, o->allocator->name, o->limit);
    if (ok && r->readable == 0)
        ok = nothing_read(r->skipped);
    ok = ok && print_answers(o, &s, in);
    session_end(&s, r);
    if (!ok)
        return false;
    if (o->json) {
        json_end(o, r, 1);
    } else if (o->summary) {
        if (o->word_count != 0)
            (void)printf("\n");
        report_summary(o, r, 1);
    } else {
        report_skipped(stderr, r->skipped);
    }
    return true;
}

/* One index with each allocator. */
static bool index_each_way(const options *o, input *in, run *runs)
{
    if (!compare_allocators(runs, in, o))
        return false;
    if (runs[0].readable == 0)
        return nothing_read(runs[0].skipped);
    if (o->json) {
        json_begin(o);
        json_end(o, runs, ALLOCATOR_TYPES);
    } else {
        report_summary(o, runs, ALLOCATOR_TYPES);
    }
    return runs_equal(runs, ALLOCATOR_TYPES);
}

static bool work(const options *o)
{
    static run runs[ALLOCATOR_TYPES];
    input in;
    bool ok = input_walk(&in, o->paths, o->path_count);
    if (!ok)
        ok = out_of_memory();
    else if (in.file_count == 0)
        ok = nothing_read(in.skipped);
    else if (o->compare)
        ok = index_each_way(o, &in, runs);
    else
        ok = index_once(o, &in, runs);
    input_destroy(&in);
    return ok;
}

/* Whether all results got out. A reader that has gone away needs no message. */
static bool flush_output(void)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return true;
    if (errno != EPIPE)
        (void)fprintf(stderr, "word_index: cannot write the results: %s\n", strerror(errno));
    return false;
}

int main(int argc, char **argv)
{
    /* A closed pipe is an error of printf, not the end. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return EXIT_FAILURE;
    options o;
    int failed = options_parse(&o, argc, argv);
    if (failed == 0) {
        if (o.help)
            options_print_help();
        else if (o.version)
            (void)printf("word_index %s\n", TSMBR_VERSION_STRING);
        else if (!work(&o))
            failed = EXIT_FAILURE;
    }
    options_destroy(&o);
    if (!flush_output() && failed == 0)
        failed = EXIT_FAILURE;
    return failed;
}
