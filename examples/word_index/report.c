/* report.c - results for people: aligned, with units. */
#include "report.h"

#include <inttypes.h>
#include <string.h>

enum { ANSWER_LINES = 20, CELL_BYTES = 48, COLUMNS = 9 };

typedef char cell[CELL_BYTES];

/* ---------------------------------------------------------------------------------- numbers, text -- */

/* 1234567 as 1,234,567. */
static const char *grouped(char *to, uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    char *at = to;
    for (int i = 0; i < length; i++) {
        if (i != 0 && (length - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return to;
}

static const char *mebibytes(char *to, uint64_t bytes)
{
    (void)snprintf(to, CELL_BYTES, "%.1f MiB", (double)bytes / (1 << 20));
    return to;
}

static const char *milliseconds(char *to, uint64_t ns)
{
    (void)snprintf(to, CELL_BYTES, "%.1f ms", (double)ns / 1e6);
    return to;
}

/* A path, with control characters made visible: a terminal would obey them. */
static void put_path(const char *path)
{
    for (const unsigned char *at = (const unsigned char *)path; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f)
            (void)printf("\\x%02x", *at);
        else
            (void)putchar(*at);
    }
}

/* --------------------------------------------------------------------------------------- answers -- */

void report_answer(const char *text, const answer *a, const input *in)
{
    cell number[3];
    if (a->count == 0) {
        (void)printf("%s: in no file\n", text);
        return;
    }
    (void)printf("%s: %s time%s on %s line%s of %s file%s\n", text, grouped(number[0], a->occurrences),
                 a->occurrences == 1 ? "" : "s", grouped(number[1], a->count), a->count == 1 ? "" : "s",
                 grouped(number[2], a->files), a->files == 1 ? "" : "s");
    size_t shown = a->count <= ANSWER_LINES ? a->count : ANSWER_LINES;
    for (size_t i = 0; i < shown; i++) {
        const place *p = &a->places[i];
        (void)printf("  ");
        put_path(in->files[p->file].path);
        (void)printf(":%" PRIu64, p->line);
        if (p->count > 1)
            (void)printf(" (%zu times)", p->count);
        (void)printf("\n");
    }
    if (shown < a->count)
        (void)printf("  \u2026 and %s more\n", grouped(number[0], a->count - shown));
}

/* --------------------------------------------------------------------------------------- skipped -- */

typedef struct skip_text {
    const char *name;
    const char *one;
    const char *more;
} skip_text;

static const skip_text skip_texts[SKIP_KINDS] = {
    [SKIP_MISSING] = {"missing_paths", "path given that cannot be looked at",
                      "paths given that cannot be looked at"},
    [SKIP_UNREADABLE_DIRECTORY] = {"unreadable_directories", "unreadable directory", "unreadable directories"},
    [SKIP_LINKED_DIRECTORY] = {"linked_directories", "symbolic link to a directory",
                               "symbolic links to directories"},
    [SKIP_DANGLING] = {"dangling_links", "symbolic link that leads nowhere", "symbolic links that lead nowhere"},
    [SKIP_SPECIAL] = {"special_files", "pipe, socket or device", "pipes, sockets or devices"},
    [SKIP_DUPLICATE] = {"duplicates", "further name of a file already counted",
                        "further names of files already counted"},
    [SKIP_UNREADABLE] = {"unreadable_files", "file that could not be read", "files that could not be read"},
    [SKIP_VANISHED] = {"vanished_files", "file that vanished meanwhile", "files that vanished meanwhile"},
    [SKIP_BINARY] = {"binary_files", "binary file", "binary files"},
    [SKIP_EMPTY] = {"empty_files", "empty file", "empty files"},
    [SKIP_SHRANK] = {"shrunken_files", "file shorter than its size said, read to its end",
                     "files shorter than their sizes said, read to their ends"},
    [SKIP_GREW] = {"grown_files", "file longer than its size said, read to that size",
                   "files longer than their sizes said, read to those sizes"},
    [SKIP_LONG_WORD] = {"long_words", "word over 255 bytes", "words over 255 bytes"},
};

const char *skip_name(skip kind)
{
    return skip_texts[kind].name;
}

void report_skipped(FILE *to, const size_t skipped[SKIP_KINDS])
{
    bool any = false;
    for (size_t kind = 0; kind < SKIP_KINDS; kind++) {
        if (skipped[kind] == 0)
            continue;
        if (!any)
            (void)fprintf(to, "Left out, or not indexed in full:\n");
        any = true;
        cell number;
        (void)fprintf(to, "%11s  %s\n", grouped(number, skipped[kind]),
                      skipped[kind] == 1 ? skip_texts[kind].one : skip_texts[kind].more);
    }
    if (!any)
        (void)fprintf(to, "Nothing was left out.\n");
}

/* --------------------------------------------------------------------------------------- summary -- */

bool runs_equal(const run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (runs[i].differed || runs[i].found.checksum != runs[0].found.checksum ||
            runs[i].found.words != runs[0].found.words || runs[i].found.postings != runs[0].found.postings)
            return false;
    return true;
}

static void print_input(const options *o, const run *r)
{
    cell number[5];
    (void)printf("%s file%s, %s under", grouped(number[0], r->files), r->files == 1 ? "" : "s",
                 mebibytes(number[1], r->bytes));
    for (size_t i = 0; i < o->path_count; i++) {
        (void)printf(" ");
        put_path(o->paths[i]);
    }
    (void)printf("\n%s distinct words, %s postings, %s thread%s\n", grouped(number[2], r->found.words),
                 grouped(number[3], r->found.postings), grouped(number[4], r->threads),
                 r->threads == 1 ? "" : "s");
}

static void print_top(const survey *s)
{
    if (s->top_count == 0)
        return;
    (void)printf("\n%11s  %s\n", "times", "word");
    for (size_t i = 0; i < s->top_count; i++) {
        cell number;
        (void)printf("%11s  %.*s\n", grouped(number, s->top[i].count), (int)s->top[i].length, s->top[i].text);
    }
}

/* One row of the table, told by the first run how fast is normal. */
static void fill_row(cell *row, const char *name, const run *r, const run *first)
{
    for (size_t k = 0; k < COLUMNS; k++)
        (void)snprintf(row[k], CELL_BYTES, "-"); /* where nothing is known */
    (void)snprintf(row[0], CELL_BYTES, "%s", name);
    (void)grouped(row[1], r->count.blocks);
    (void)mebibytes(row[2], r->count.bytes);
    if (r->held != UNKNOWN)
        (void)mebibytes(row[3], r->held);
    if (r->chunks != UNKNOWN)
        (void)grouped(row[4], r->chunks);
    (void)milliseconds(row[5], r->build_ns);
    (void)milliseconds(row[6], r->teardown_ns);
    if (first != NULL && r->build_ns != 0)
        (void)snprintf(row[7], CELL_BYTES, "%.2fx", (double)first->build_ns / (double)r->build_ns);
    (void)snprintf(row[8], CELL_BYTES, "%016" PRIx64, r->found.checksum);
}

static void print_table(const options *o, const run *runs, size_t count)
{
    cell rows[1 + ALLOCATOR_TYPES][COLUMNS] = {{"allocator", "blocks", "bytes asked", "bytes held", "chunks",
                                                "build", "teardown", "speed-up", "checksum"}};
    for (size_t i = 0; i < count; i++)
        fill_row(rows[1 + i], o->compare ? allocator_types[i]->name : o->allocator->name, &runs[i],
                 o->compare ? &runs[0] : NULL);
    (void)printf("\n");
    for (size_t i = 0; i <= count; i++) {
        for (size_t k = 0; k < COLUMNS; k++) {
            size_t width = 0;
            for (size_t j = 0; j <= count; j++)
                width = strlen(rows[j][k]) > width ? strlen(rows[j][k]) : width;
            (void)printf("%s%*s%s", k == 0 ? "" : "  ", k == 0 ? -(int)width : (int)width, rows[i][k],
                         k + 1 == COLUMNS ? "\n" : "");
        }
    }
}

void report_summary(const options *o, const run *runs, size_t count)
{
    print_input(o, &runs[0]);
    print_top(&runs[0].found);
    print_table(o, runs, count);
    if (o->compare)
        (void)printf(
            "\nspeed-up: how many times as fast as with malloc the index was built. Times: the best of %zu,\n"
            "each in a new process, with the files in the page cache. teardown: malloc's blocks are\n"
            "freed one by one, an arena's together.\n",
            o->rounds);
    (void)printf("\n");
    report_skipped(stdout, runs[0].skipped);
    if (o->compare)
        (void)printf("\nThe three indexes are %s.\n", runs_equal(runs, count) ? "equal" : "NOT EQUAL");
}
