/* hook.h - compiled into the library for tests that look at its steps: each step tells its name before it is
 * taken. As scripts/check-source sees to it, a name says what a step does. */
#ifndef TSMBR_TEST_HOOK_H
#define TSMBR_TEST_HOOK_H

/* In the test. */
void hook(const char *step);

#define TSMBR_BEFORE_STEP() hook(__func__)

#endif
