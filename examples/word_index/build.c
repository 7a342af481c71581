/* build.c - reading pieces, and splitting them into words.
 *
 * Pieces are handed out by a counter. A thread reads a piece whole before it looks for words, so a
 * file that cannot be read to the end of a piece adds nothing from that piece, and one that is cut
 * while it is being read adds what was there. Files are read, not mapped: a mapped file that shrinks
 * is a signal. */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include "progress.h"

/* A piece, the byte before it (is its first byte the start of a word?), and enough after it to see
 * the end of its last word, or that the word is too long. */
#define BUFFER_BYTES (1 + PIECE_BYTES + WORD_MOST)

/* What a thread is given, and gives back at its end. */
typedef struct worker {
    build *shared;
    tally count;
    uint64_t bytes_read;
    size_t long_words;
} worker;

typedef struct seat {
    pthread_t thread;
    worker work;
} seat;

/* --------------------------------------------------------------------------------------- reading -- */

static int open_regular(const char *path, struct stat *st)
{
    int fd;
    do /* O_NONBLOCK: since the walk, a pipe may have taken the file's place */
        fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) {
        (void)close(fd);
        errno = ENOENT;
        return -1;
    }
    return fd;
}

/* As many of the bytes as there are, or -1. */
static ssize_t read_at(int fd, unsigned char *buffer, size_t bytes, uint64_t from)
{
    size_t have = 0;
    while (have < bytes) {
        ssize_t got = pread(fd, buffer + have, bytes - have, (off_t)(from + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

/* A piece in memory. */
typedef struct text {
    const unsigned char *bytes;
    size_t begin; /* of the piece: 1 if the byte before it is there, too */
    size_t end;   /* of the piece */
    size_t have;  /* bytes in all, up to a word's length past the end */
} text;

/* Note in the input what is unusual about the file of a piece that was expected to end at `piece_end`.
 * False if the piece is not to be indexed. */
static bool judge(input *in, const piece *p, const text *t, size_t piece_end, off_t size_now)
{
    uint64_t size = in->files[p->file].size;
    size_t look = t->have < BINARY_BYTES ? t->have : BINARY_BYTES;
    if (p->begin == 0 && memchr(t->bytes, '\0', look) != NULL) {
        input_note(in, p->file, SKIP_BINARY);
        return false;
    }
    if (t->have == 0 && size == 0) {
        input_note(in, p->file, SKIP_EMPTY);
        return false;
    }
    if (t->have < piece_end && size != 0)
        input_note(in, p->file, SKIP_SHRANK);
    else if ((uint64_t)size_now > size || (p->end >= size && t->have > piece_end))
        input_note(in, p->file, SKIP_GREW);
    return t->have > t->begin;
}

/* Read a piece. False if there is nothing to index. */
static bool read_piece(input *in, const piece *p, unsigned char *buffer, text *t)
{
    struct stat st;
    int fd = open_regular(in->files[p->file].path, &st);
    if (fd < 0) {
        input_note(in, p->file, errno == ENOENT || errno == ENOTDIR ? SKIP_VANISHED : SKIP_UNREADABLE);
        return false;
    }
    size_t before = p->begin != 0 ? 1 : 0;
    size_t end = before + (size_t)(p->end - p->begin);
    ssize_t got = read_at(fd, buffer, end + WORD_MOST, p->begin - before);
    (void)close(fd);
    if (got < 0) {
        input_note(in, p->file, SKIP_UNREADABLE);
        return false;
    }
    size_t have = (size_t)got;
    *t = (text){buffer, before, have < end ? have : end, have};
    return judge(in, p, t, end, st.st_size);
}

/* ----------------------------------------------------------------------------------------- words -- */

static size_t word_end(const text *t, size_t i)
{
    while (i < t->have && is_word_byte(t->bytes[i]))
        i += 1;
    return i;
}

/* Add the words of a piece. Returns how many lines end in it; stops early if memory runs out. */
static uint32_t add_words(worker *self, const text *t, uint32_t number)
{
    build *shared = self->shared;
    uint32_t line = 0;
    size_t i = t->begin;
    if (i != 0 && is_word_byte(t->bytes[0]))
        i = word_end(t, i); /* the word that starts before the piece is not its own */
    while (i < t->end) {
        unsigned char byte = t->bytes[i];
        if (!is_word_byte(byte)) {
            line += byte == '\n';
            i += 1;
            continue;
        }
        size_t end = word_end(t, i);
        const char *start = (const char *)&t->bytes[i];
        if (end - i > WORD_MOST)
            self->long_words += 1;
        else if (!index_add(shared->index, start, end - i, number, line, &self->count)) {
            /* Relaxed, as its reader is: a late look costs a piece, and memory is refused again. */
            atomic_store_explicit(&shared->out_of_memory, true, memory_order_relaxed);
            return line;
        }
        i = end;
    }
    return line;
}

/* --------------------------------------------------------------------------------------- threads -- */

static void take_piece(worker *self, size_t number, unsigned char *buffer)
{
    build *shared = self->shared;
    piece *p = &shared->in->pieces[number];
    text t = {NULL, 0, 0, 0};
    bool readable = read_piece(shared->in, p, buffer, &t);
    /* Relaxed: two counters that nothing but the bar reads. */
    atomic_fetch_add_explicit(&shared->files_begun, p->begin == 0 ? 1 : 0, memory_order_relaxed);
    if (shared->in->files[p->file].size != 0)
        atomic_fetch_add_explicit(&shared->bytes_done, p->end - p->begin, memory_order_relaxed);
    if (!readable)
        return;
    self->bytes_read += t.end - t.begin;
    if (shared->index != NULL)
        p->newlines = add_words(self, &t, (uint32_t)number);
}

static void *worker_run(void *argument)
{
    /* Counted on the thread's own stack, and handed over at the end: seats share cache lines. */
    worker self = *(worker *)argument;
    build *shared = self.shared;
    unsigned char *buffer = malloc(BUFFER_BYTES);
    if (buffer == NULL)
        atomic_store_explicit(&shared->out_of_memory, true, memory_order_relaxed);
    while (!atomic_load_explicit(&shared->out_of_memory, memory_order_relaxed)) {
        /* Relaxed: a number is handed out once whatever the order; the pieces were there before
         * the threads, and pthread_join carries what was written into them. */
        size_t number = atomic_fetch_add_explicit(&shared->next_piece, 1, memory_order_relaxed);
        if (number >= shared->in->piece_count)
            break;
        take_piece(&self, number, buffer);
    }
    free(buffer);
    *(worker *)argument = self;
    return NULL;
}

/* Start as many threads as the system has, up to `wanted`. */
static size_t start(build *shared, seat *seats, size_t wanted)
{
    for (size_t i = 0; i < wanted; i++) {
        seats[i].work = (worker){.shared = shared};
        if (pthread_create(&seats[i].thread, NULL, worker_run, &seats[i].work) != 0)
            return i;
    }
    return wanted;
}

build_result build_run(input *in, word_index *index, size_t threads, const char *label)
{
    build shared = {.in = in, .index = index};
    build_result result = {.status = BUILD_OUT_OF_MEMORY};
    seat *seats = malloc(threads * sizeof *seats);
    if (seats == NULL)
        return result;
    progress bar;
    progress_start(&bar, &shared, label);
    result.threads = start(&shared, seats, threads);
    for (size_t i = 0; i < result.threads; i++) {
        (void)pthread_join(seats[i].thread, NULL);
        result.count.blocks += seats[i].work.count.blocks;
        result.count.bytes += seats[i].work.count.bytes;
        result.bytes_read += seats[i].work.bytes_read;
        result.long_words += seats[i].work.long_words;
    }
    progress_stop(&bar);
    free(seats);
    if (result.threads == 0)
        result.status = BUILD_NO_THREADS;
    else if (!atomic_load_explicit(&shared.out_of_memory, memory_order_relaxed))
        result.status = BUILD_DONE;
    return result;
}
