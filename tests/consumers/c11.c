/* A C11 program over an installed tsmbr: two threads build a list each in one resource, the main
 * thread checks both after they ended. */
#include <tsmbr.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "header_alone.h"

enum { NODES = 5000 };

typedef struct node {
    struct node *before;
    const char *text;
    int number;
} node;

typedef struct worker {
    pthread_t thread;
    tsmbr_resource *arena;
    const char *name;
    node *last;
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    for (int i = 0; i < NODES; i++) {
        node *n = tsmbr_new(w->arena, node);
        if (n == NULL)
            return NULL;
        *n = (node){w->last, tsmbr_printf(w->arena, "%s %d", w->name, i), i};
        w->last = n;
    }
    return NULL;
}

static int list_intact(const worker *w)
{
    int expected = NODES;
    for (const node *n = w->last; n != NULL; n = n->before) {
        char text[32];
        expected--;
        (void)snprintf(text, sizeof text, "%s %d", w->name, expected);
        if ((uintptr_t)n % TSMBR_ALIGNOF(node) != 0 || n->number != expected || n->text == NULL ||
            strcmp(n->text, text) != 0 || !tsmbr_owns(w->arena, n))
            return 0;
    }
    return expected == 0;
}

int main(void)
{
    tsmbr_resource arena;
    if (tsmbr_init(&arena, NULL) != 0)
        return 1;
    worker workers[2] = {{.arena = &arena, .name = "one"}, {.arena = &arena, .name = "two"}};
    for (size_t i = 0; i < 2; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 1;
    for (size_t i = 0; i < 2; i++)
        if (pthread_join(workers[i].thread, NULL) != 0)
            return 1;

    int ok = list_intact(&workers[0]) && list_intact(&workers[1]);
    tsmbr_release(&arena);
    tsmbr_statistics s;
    tsmbr_get_statistics(&arena, &s);
    ok = ok && s.reserved_bytes == 0 && s.peak_reserved_bytes >= 2 * NODES * sizeof(node);
    tsmbr_destroy(&arena);
    ok = ok && header_alone_c();
    puts(ok ? "consumer ok" : "consumer failed");
    return ok ? 0 : 1;
}
