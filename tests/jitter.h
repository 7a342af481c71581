/* jitter.h - compiled into the library for the tests of races: now and then another thread gets the
 * processor between two steps, so that races happen on any machine, however few its cores. */
#ifndef TSMBR_TEST_JITTER_H
#define TSMBR_TEST_JITTER_H

#include <sched.h>
#include <stdint.h>

static inline void jitter(void)
{
    static _Thread_local uint32_t dice;
    if (dice == 0)
        dice = (uint32_t)(uintptr_t)&dice | 1;
    dice = dice * 1664525u + 1013904223u; /* Numerical Recipes' generator */
    if (dice >> 27 == 0)
        (void)sched_yield();
}

#define TSMBR_BEFORE_STEP() jitter()

#endif
