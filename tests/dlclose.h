/* dlclose.h - what dlclose.c calls of a library that it has loaded. */
#ifndef TSMBR_TEST_DLCLOSE_H
#define TSMBR_TEST_DLCLOSE_H

#include "tsmbr.h"

typedef struct calls {
    int (*init)(tsmbr_resource *, const tsmbr_config *);
    void *(*allocate)(tsmbr_resource *, size_t, size_t);
    int (*on_release)(tsmbr_resource *, void (*)(void *), void *);
    void (*get_statistics)(const tsmbr_resource *, tsmbr_statistics *);
    void (*destroy)(tsmbr_resource *);
} calls;

#endif
