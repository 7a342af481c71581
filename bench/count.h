/* count.h - the hook of the counting build, read before every source of the library. */
#ifndef TSMBR_BENCH_COUNT_H
#define TSMBR_BENCH_COUNT_H

#include <string.h>

struct counted {
    unsigned long rmw;
    unsigned long plain;
};
extern _Thread_local struct counted counted;

/* The name of a function in src/steps.h says which word, what, and in which order. */
static inline int count_kind(const char *step)
{
    return strstr(step, "_cas_") != NULL || strstr(step, "_add_") != NULL || strstr(step, "_sub_") != NULL ||
                   strstr(step, "_exchange_") != NULL || strstr(step, "_or_") != NULL ||
                   strstr(step, "_and_") != NULL
               ? 2
               : 1;
}

#define TSMBR_BEFORE_STEP()                                                                                       \
    do {                                                                                                          \
        static _Thread_local int kind;                                                                            \
        if (kind == 0)                                                                                            \
            kind = count_kind(__func__);                                                                          \
        if (kind == 2)                                                                                            \
            ++counted.rmw;                                                                                        \
        else                                                                                                      \
            ++counted.plain;                                                                                      \
    } while (0)

#endif
