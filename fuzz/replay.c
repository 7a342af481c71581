/* replay.c - run the programs in files, and in all files of directories: the corpus, or what a fuzzer found.
 *
 *   fuzz_calls [PATH ...]        default: the corpus
 *   TSMBR_FUZZ_TELL=1            print each call */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

enum { FILE_MOST = 1 << 20 };

static size_t programs;
static const char *current = "none";

/* abort() is on its way: say whose program it was. */
static void at_abort(int signal_number)
{
    (void)signal_number;
    static const char where[] = "fuzz: the program was ";
    (void)!write(STDERR_FILENO, where, sizeof where - 1);
    (void)!write(STDERR_FILENO, current, strlen(current));
    (void)!write(STDERR_FILENO, "\n", 1);
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(FILE_MOST);
    if (file == NULL || data == NULL) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, FILE_MOST, file);
    (void)fclose(file);
    current = path;
    FUZZ_PROGRAM(data, size);
    free(data);
    programs++;
    return 0;
}

static int replay(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        perror(path);
        return 1;
    }
    if (!S_ISDIR(about.st_mode))
        return replay_file(path);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    int failed = count < 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        (void)snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= replay(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
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
