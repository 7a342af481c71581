/* walk.c - finding the files. */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"

/* A walk keeps the directories still to be read on a stack of its own: the depth of a tree costs no
 * recursion, and one directory is open at a time. */
typedef struct walk {
    input *in;
    size_t file_room;
    const char **directories;
    size_t directory_count;
    size_t directory_room;
} walk;

/* Room for one more item. The arena leaves an outgrown array behind, so growth doubles. */
static void *grow(input *in, void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    size_t more = *room == 0 ? 64 : *room * 2;
    void *grown = tsmbr_reallocate(&in->arena, items, *room * size, more * size, _Alignof(max_align_t));
    if (grown != NULL)
        *room = more;
    return grown;
}

static bool push_directory(walk *w, const char *path)
{
    const char **grown =
        grow(w->in, w->directories, w->directory_count, &w->directory_room, sizeof *w->directories);
    if (grown == NULL)
        return false;
    w->directories = grown;
    grown[w->directory_count++] = path;
    return true;
}

static bool push_file(walk *w, const char *path, const struct stat *st, bool linked)
{
    input *in = w->in;
    file *grown = grow(in, in->files, in->file_count, &w->file_room, sizeof *in->files);
    if (grown == NULL)
        return false;
    in->files = grown;
    grown[in->file_count++] = (file){
        .path = path,
        .size = (uint64_t)st->st_size,
        .device = st->st_dev,
        .inode = st->st_ino,
        .linked = linked,
    };
    return true;
}

/* A name that leads to nothing, now or ever. */
static void note_absent(walk *w, const char *path, bool given, skip what)
{
    if (given) {
        (void)fprintf(stderr, "word_index: cannot look at '%s': %s\n", path, strerror(errno));
        what = SKIP_MISSING;
    }
    w->in->skipped[what] += 1;
}

/* Sort one name into files, directories and the rest. `given`: by the caller. False: out of memory. */
static bool visit(walk *w, const char *path, bool given)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        note_absent(w, path, given, errno == ENOENT ? SKIP_VANISHED : SKIP_UNREADABLE);
        return true;
    }
    bool linked = S_ISLNK(st.st_mode);
    if (linked && stat(path, &st) != 0) {
        note_absent(w, path, given, SKIP_DANGLING);
        return true;
    }
    if (S_ISREG(st.st_mode))
        return push_file(w, path, &st, linked);
    if (S_ISDIR(st.st_mode) && (given || !linked))
        return push_directory(w, path);
    w->in->skipped[S_ISDIR(st.st_mode) ? SKIP_LINKED_DIRECTORY : SKIP_SPECIAL] += 1;
    return true;
}

static bool read_directory(walk *w, const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        w->in->skipped[SKIP_UNREADABLE_DIRECTORY] += 1;
        return true;
    }
    const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
    bool ok = true;
    while (ok) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            w->in->skipped[SKIP_UNREADABLE_DIRECTORY] += errno != 0;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *child = tsmbr_printf(&w->in->arena, "%s%s%s", path, slash, entry->d_name);
        ok = child != NULL && visit(w, child, false);
    }
    (void)closedir(directory);
    return ok;
}

/* --------------------------------------------------------------------- each file once, sorted -- */

static int compare_paths(const void *left, const void *right)
{
    return strcmp(((const file *)left)->path, ((const file *)right)->path);
}

/* Names of one file together, the one to keep first: no link before a link, then by path. */
static int compare_identities(const void *left, const void *right)
{
    const file *a = left;
    const file *b = right;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    if (a->inode != b->inode)
        return a->inode < b->inode ? -1 : 1;
    if (a->linked != b->linked)
        return a->linked ? 1 : -1;
    return compare_paths(left, right);
}

static void keep_each_once(input *in)
{
    if (in->file_count == 0)
        return;
    qsort(in->files, in->file_count, sizeof *in->files, compare_identities);
    size_t kept = 1;
    for (size_t i = 1; i < in->file_count; i++) {
        const file *last = &in->files[kept - 1];
        if (in->files[i].device == last->device && in->files[i].inode == last->inode)
            in->skipped[SKIP_DUPLICATE] += 1;
        else
            in->files[kept++] = in->files[i];
    }
    in->file_count = kept;
    qsort(in->files, in->file_count, sizeof *in->files, compare_paths);
}

/* --------------------------------------------------------------------------------------- pieces -- */

/* Whether a file starts as a binary one; false if it cannot be read, which its reader will find. */
static bool starts_binary(const char *path)
{
    unsigned char start[BINARY_BYTES];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = pread(fd, start, sizeof start, 0);
    (void)close(fd);
    return got > 0 && memchr(start, '\0', (size_t)got) != NULL;
}

/* An empty file gets a piece: some, as in /proc, have more to say than their size tells. A large
 * binary file gets only one, where it will be found out: a disk image may be one huge hole. */
static size_t count_pieces(const file *f)
{
    if (f->size <= PIECE_BYTES || starts_binary(f->path))
        return 1;
    return (size_t)((f->size - 1) / PIECE_BYTES + 1);
}

static bool cut_pieces(input *in)
{
    size_t room = 0;
    for (size_t i = 0; i < in->file_count; i++) {
        const file *f = &in->files[i];
        size_t count = count_pieces(f);
        uint64_t path_hash = hash_bytes(f->path, strlen(f->path));
        if (count > UINT32_MAX - in->piece_count)
            return false;
        for (size_t k = 0; k < count; k++) {
            piece *grown = grow(in, in->pieces, in->piece_count, &room, sizeof *in->pieces);
            if (grown == NULL)
                return false;
            in->pieces = grown;
            uint64_t begin = (uint64_t)k * PIECE_BYTES;
            uint64_t end = begin + PIECE_BYTES;
            if (f->size != 0 && end > f->size)
                end = f->size;
            in->bytes += f->size != 0 ? end - begin : 0;
            grown[in->piece_count++] =
                (piece){.begin = begin, .end = end, .path_hash = path_hash, .file = (uint32_t)i};
        }
    }
    return true;
}

static bool make_outcomes(input *in)
{
    in->outcomes = tsmbr_new_array(&in->arena, atomic_uint, in->file_count);
    if (in->outcomes == NULL)
        return false;
    for (size_t i = 0; i < in->file_count; i++)
        atomic_init(&in->outcomes[i], 0);
    return true;
}

/* ---------------------------------------------------------------------------------------- input -- */

/* The caller's path without slashes at its end, so that names under it have one form. */
static const char *trimmed(input *in, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length -= 1;
    return tsmbr_strndup(&in->arena, path, length);
}

bool input_walk(input *in, const char *const *paths, size_t count)
{
    *in = (input){.arena = TSMBR_RESOURCE_INIT};
    walk w = {.in = in};
    for (size_t i = 0; i < count; i++) {
        const char *path = trimmed(in, paths[i]);
        if (path == NULL || !visit(&w, path, true))
            return false;
    }
    while (w.directory_count != 0)
        if (!read_directory(&w, w.directories[--w.directory_count]))
            return false;
    keep_each_once(in);
    return cut_pieces(in) && make_outcomes(in);
}

void input_destroy(input *in)
{
    tsmbr_destroy(&in->arena);
}

void input_number_lines(input *in)
{
    for (size_t i = 0; i < in->piece_count; i++) {
        piece *p = &in->pieces[i];
        p->first_line = p->begin == 0 ? 1 : p[-1].first_line + p[-1].newlines;
    }
}

/* Relaxed: a set of marks, read after pthread_join, which carries them. */
void input_note(input *in, uint32_t number, skip what)
{
    atomic_fetch_or_explicit(&in->outcomes[number], 1u << what, memory_order_relaxed);
}
