/* hello.c - four threads share one arena. */
#include <pthread.h>
#include <stdio.h>

#include "tsmbr.h"

static tsmbr_resource arena; /* all zero: a resource with every default */

static void *greet(void *number)
{
    return tsmbr_printf(&arena, "hello from thread %d", *(const int *)number);
}

int main(void)
{
    pthread_t threads[4];
    int numbers[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, greet, &numbers[i]) != 0)
            return 1;
    for (int i = 0; i < 4; i++) {
        void *text = NULL;
        if (pthread_join(threads[i], &text) != 0 || text == NULL)
            return 1;
        puts(text);
    }
    tsmbr_destroy(&arena); /* frees all texts at once */
    return 0;
}
