/* options.c - reading the command line.
 *
 * Arguments after --query are words, up to the next option; all others are paths. "--" ends options
 * and words: whatever follows is a path. No word starts with '-', so nothing else is needed. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "build.h"
#include "survey.h"

static const char default_path[] = "/usr/include";
enum { DEFAULT_TOP = 10, DEFAULT_ROUNDS = 3, ROUNDS_MOST = 100 };

void options_print_help(void)
{
    (void)printf("word_index - index every word of a file tree with many threads in one shared arena\n"
                 "\n"
                 "usage: word_index [OPTION...] [PATH...] [--query WORD... [--] [PATH...]]\n"
                 "\n"
                 "Reads every regular text file under the paths (default: %s), once each.\n"
                 "A word is a run of letters, digits, '_' and bytes from 0x80 on, as in UTF-8; case counts;\n"
                 "runs over %zu bytes are left out. Every occurrence is kept, with file and line.\n"
                 "\n"
                 "  --query WORD...    print where each word occurs; all up to the next option are words,\n"
                 "                     so put paths before --query or after --\n"
                 "  --top N            print the N most frequent words (1 to %zu; default: %d)\n"
                 "  --compare          run with each allocator in turn and print one table\n"
                 "  --rounds N         how often: the best times count (1 to %d; default: %d)\n"
                 "  --allocator NAME   tsmbr (default), malloc, or mutex (an arena behind a lock)\n"
                 "  --threads N        1 to %zu (default: as many as there are cores)\n"
                 "  --limit BYTES      most memory that tsmbr may hold; K, M or G may follow the number\n"
                 "  --json             print one JSON object; bytes that are not UTF-8 become \\udc80 to \\udcff\n"
                 "  --help, --version  print this, or the version\n"
                 "\n"
                 "Symbolic links to files are followed, those to directories only if they are given as PATH.\n"
                 "Exit status: 0 done; 1 failed: nothing could be read, out of memory, or the allocators'\n"
                 "indexes differ; 2 wrong usage.\n",
                 default_path, WORD_MOST, TOP_MOST, DEFAULT_TOP, ROUNDS_MOST, DEFAULT_ROUNDS, THREADS_MOST);
}

static int wrong(const char *format, ...) TSMBR_PRINTF(1, 2);

static int wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "word_index: ");
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    return 2;
}

/* ---------------------------------------------------------------------------------------- values -- */

/* A number from 1 to `most`; with a unit of K, M or G if `units`. */
static bool parse_number(const char *text, bool units, size_t most, size_t *value)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = units && *end != '\0' ? strchr("KMG", *end) : NULL;
    unsigned shift = unit == NULL ? 0 : 10 * (unsigned)(1 + strchr("KMG", *end++) - strchr("KMG", 'K'));
    if (errno != 0 || *end != '\0' || number == 0 || number > most >> shift)
        return false;
    *value = (size_t)number << shift;
    return true;
}

static bool is_word(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (!is_word_byte((unsigned char)text[i]))
            return false;
    return length != 0 && length <= WORD_MOST;
}

static int add_word(options *o, const char *text)
{
    if (!is_word(text))
        return wrong("'%s' cannot be in the index: give a word of letters, digits, '_' and UTF-8, up to %zu bytes",
                     text, WORD_MOST);
    o->words[o->word_count++] = text;
    return 0;
}

/* --------------------------------------------------------------------------------------- options -- */

static int set_threads(options *o, const char *text)
{
    if (parse_number(text, false, THREADS_MOST, &o->threads))
        return 0;
    return wrong("--threads '%s': give a number from 1 to %zu", text, THREADS_MOST);
}

static int set_top(options *o, const char *text)
{
    o->summary = true;
    if (parse_number(text, false, TOP_MOST, &o->top))
        return 0;
    return wrong("--top '%s': give a number from 1 to %zu", text, TOP_MOST);
}

static int set_rounds(options *o, const char *text)
{
    if (parse_number(text, false, ROUNDS_MOST, &o->rounds))
        return 0;
    return wrong("--rounds '%s': give a number from 1 to %d", text, ROUNDS_MOST);
}

static int set_limit(options *o, const char *text)
{
    if (parse_number(text, true, SIZE_MAX, &o->limit))
        return 0;
    return wrong("--limit '%s': give a number of bytes above 0, for example 65536 or 64M", text);
}

static int set_allocator(options *o, const char *text)
{
    o->allocator = allocator_find(text);
    return o->allocator != NULL ? 0 : wrong("--allocator '%s': give one of tsmbr, malloc, mutex", text);
}

typedef struct option {
    const char *name;
    int (*set)(options *o, const char *text); /* NULL: takes no value, sets `flag` */
    size_t flag;
} option;

static const option known[] = {
    {"--query", add_word, 0},
    {"--threads", set_threads, 0},
    {"--top", set_top, 0},
    {"--rounds", set_rounds, 0},
    {"--limit", set_limit, 0},
    {"--allocator", set_allocator, 0},
    {"--compare", NULL, offsetof(options, compare)},
    {"--json", NULL, offsetof(options, json)},
    {"--help", NULL, offsetof(options, help)},
    {"--version", NULL, offsetof(options, version)},
};

/* The option that argument names, with the value that follows a '=' in it, if one does. */
static const option *find_option(const char *argument, const char **value)
{
    size_t length = strcspn(argument, "=");
    *value = argument[length] == '=' ? argument + length + 1 : NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == length && strncmp(known[i].name, argument, length) == 0)
            return &known[i];
    return NULL;
}

/* The option at argv[*at], and the value it takes. */
static int parse_option(options *o, char **argv, int argc, int *at)
{
    const char *value = NULL;
    const option *known_one = find_option(argv[*at], &value);
    if (known_one == NULL)
        return wrong("unknown option '%s': see --help; a path that starts with '-' goes after --", argv[*at]);
    if (known_one->set == NULL) {
        if (value != NULL)
            return wrong("%s takes no value: leave out '=%s'", known_one->name, value);
        *((bool *)(void *)((char *)o + known_one->flag)) = true;
        return 0;
    }
    if (value == NULL) {
        if (*at + 1 == argc || argv[*at + 1][0] == '-')
            return wrong("%s needs a value after it: see --help", known_one->name);
        value = argv[++*at];
    }
    return known_one->set(o, value);
}

static int parse_arguments(options *o, int argc, char **argv)
{
    bool words = false;
    bool only_paths = false;
    int failed = 0;
    for (int i = 1; i < argc && failed == 0; i++) {
        if (only_paths || argv[i][0] != '-') {
            if (argv[i][0] == '\0' && !words)
                failed = wrong("a path is empty: leave it out, or give '.' for this directory");
            else if (words)
                failed = add_word(o, argv[i]);
            else
                o->paths[o->path_count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_paths = true;
            words = false;
        } else {
            words = strcmp(argv[i], "--query") == 0 || strncmp(argv[i], "--query=", 8) == 0;
            failed = parse_option(o, argv, argc, &i);
        }
    }
    return failed;
}

/* What goes with what, and what was left to us. */
static int complete(options *o)
{
    if (o->compare && o->allocator != NULL)
        return wrong("--compare runs all allocators: leave out --allocator");
    if (o->compare && o->word_count != 0)
        return wrong("--compare answers no queries: leave out --query, or --compare");
    if (o->rounds != 0 && !o->compare)
        return wrong("--rounds is of --compare: leave it out, or add --compare");
    if (o->limit != 0 && o->allocator != NULL && strcmp(o->allocator->name, "tsmbr") != 0)
        return wrong("--limit works with tsmbr alone: leave it out, or --allocator %s", o->allocator->name);
    if (o->allocator == NULL)
        o->allocator = allocator_find("tsmbr");
    if (o->path_count == 0)
        o->paths[o->path_count++] = default_path;
    if (o->threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        o->threads = cores < 1 ? 1 : (size_t)cores < THREADS_MOST ? (size_t)cores : THREADS_MOST;
    }
    if (o->top == 0)
        o->top = DEFAULT_TOP;
    if (o->rounds == 0)
        o->rounds = DEFAULT_ROUNDS;
    o->summary = o->summary || o->word_count == 0;
    return 0;
}

int options_parse(options *o, int argc, char **argv)
{
    *o = (options){.paths = NULL};
    size_t room = (size_t)argc + 1;
    o->storage = calloc(2 * room, sizeof *o->storage);
    if (o->storage == NULL) {
        (void)fprintf(stderr, "word_index: out of memory\n");
        return 1;
    }
    o->paths = o->storage;
    o->words = o->storage + room;
    int failed = parse_arguments(o, argc, argv);
    return failed != 0 || o->help || o->version ? failed : complete(o);
}

void options_destroy(options *o)
{
    free(o->storage);
    o->storage = NULL;
}
