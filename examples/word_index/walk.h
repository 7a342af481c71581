/* walk.h - the input: which files there are, and the pieces that threads take.
 *
 *    files   0 a.h          1 b.c                              2 z.txt      sorted by path
 *            |              |                                  |
 *    pieces  [0 ....... 12) [0 .... 1 MiB) [1 MiB ... 1.2 MiB) [0 ... 7)    in the same order
 *
 * A word belongs to the piece that holds its first byte, a line end to the piece it lies in. So a
 * piece can be read without its neighbours: its lines are counted from 0 while threads run, and get
 * their numbers in the file at rest, when all pieces before it have been counted.
 *
 * Everything the input consists of lives in one arena and ends with it. */
#ifndef WORD_INDEX_WALK_H
#define WORD_INDEX_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "tsmbr.h"

/* Bytes in a piece: small enough to stay in a core's cache and to leave no core idle at the end. */
#define PIECE_BYTES ((size_t)1 << 20)
/* A file with a NUL byte among its first ones is binary. */
#define BINARY_BYTES ((size_t)8192)

/* What was left out, or indexed not in full. */
typedef enum skip {
    SKIP_MISSING,
    SKIP_UNREADABLE_DIRECTORY,
    SKIP_LINKED_DIRECTORY,
    SKIP_DANGLING,
    SKIP_SPECIAL,
    SKIP_DUPLICATE,
    SKIP_UNREADABLE,
    SKIP_VANISHED,
    SKIP_BINARY,
    SKIP_EMPTY,
    SKIP_SHRANK,
    SKIP_GREW,
    SKIP_LONG_WORD,
    SKIP_KINDS
} skip;

typedef struct file {
    const char *path;
    uint64_t size; /* when the walk came by */
    dev_t device;
    ino_t inode;
    bool linked; /* path is a symbolic link to it */
} file;

typedef struct piece {
    uint64_t begin; /* bytes [begin, end) of the file */
    uint64_t end;
    uint64_t newlines;   /* in those bytes; written by the one thread that took the piece */
    uint64_t first_line; /* number of the piece's first line; set at rest */
    uint64_t path_hash;
    uint32_t file;
} piece;

typedef struct input {
    tsmbr_resource arena;
    file *files;
    size_t file_count;
    piece *pieces;
    size_t piece_count;
    uint64_t bytes;             /* in all pieces, by the files' sizes */
    atomic_uint *outcomes;      /* one for each file: 1 << skip for what readers met in it */
    size_t skipped[SKIP_KINDS]; /* what the walk met */
} input;

/* Find every regular file under the paths, each one once however many names it has. A symbolic link
 * is followed if it leads to a file or was given by the caller. Nothing but directories and files of
 * more than one piece is opened. Paths that do not exist are reported on stderr.
 *
 * Returns false if memory ran out. Either way input_destroy ends it. */
bool input_walk(input *in, const char *const *paths, size_t count);
void input_destroy(input *in);

/* At rest, after all pieces were counted: number their first lines. */
void input_number_lines(input *in);

/* Any thread: note what was met in a file. */
void input_note(input *in, uint32_t number, skip what);

#endif
