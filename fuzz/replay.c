/* replay.c - run the programs in files, and in all files of directories: the corpus, or what a fuzzer found.
 *
 *   fuzz_calls [PATH ...]        default: the corpus
 *   TSMBR_FUZZ_TELL=1            print each call */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

enum { FILE_MOST = 1 << 20, ENTRIES_MOST = 20000 };

static size_t programs;
static const char *current = "none";

/* abort() is on its way: say whose program it was. */
static void at_abort(int signal_number)
{
    (void)signal_number;
    static const char where[] = "fuzz: the program was ";
    (void)!write(STDERR_FILENO, where, sizeof where - 1);
    (void)!write(STDERR_FILENO, current, (unsigned)strlen(current));
    (void)!write(STDERR_FILENO, "\n", 1);
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    uint8_t *data = malloc(FILE_MOST);
    if (data == NULL)
        abort();
    size_t size = fread(data, 1, FILE_MOST, file);
    (void)fclose(file);
    current = path;
    FUZZ_PROGRAM(data, size);
    free(data);
    programs++;
    return 0;
}

static int replay(const char *path);

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of names. */
static int replay_directory(const char *path, DIR *directory)
{
    char *names[ENTRIES_MOST];
    size_t count = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            break;
        size_t bytes = strlen(path) + strlen(entry->d_name) + 2;
        if (entry->d_name[0] == '.')
            continue;
        if (count == ENTRIES_MOST || (names[count] = malloc(bytes)) == NULL)
            abort();
        (void)snprintf(names[count++], bytes, "%s/%s", path, entry->d_name);
    }
    int failed = errno != 0;
    if (failed)
        perror(path);
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        failed |= replay(names[i]);
        free(names[i]);
    }
    return failed;
}

static int replay(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return replay_file(path);
    int failed = replay_directory(path, directory);
    (void)closedir(directory);
    return failed;
}

int main(int argc, char **argv)
{
    (void)signal(SIGABRT, at_abort);
    int failed = argc < 2 ? replay(FUZZ_CORPUS) : 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%zu programs ran as they must\n", programs);
    /* An empty corpus has proved nothing. */
    return failed != 0 || programs == 0;
}
