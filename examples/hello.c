/* hello.c - four threads share one arena. */
#include <pthread.h>
#include <stdio.h>
#include <tsmbr.h>

static tsmbr_resource arena; /* all zero: a resource with every default */

static void *greet(void *name)
{
    return tsmbr_printf(&arena, "hello from thread %s", (char *)name);
}

int main(void)
{
    char names[4][6] = {"one", "two", "three", "four"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, greet, names[i]) != 0)
            return 1;
    for (int i = 0; i < 4; i++) {
        void *text = NULL;
        pthread_join(threads[i], &text);
        puts(text != NULL ? text : "out of memory");
    }
    tsmbr_destroy(&arena); /* frees all texts at once */
}
