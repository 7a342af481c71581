/* afl.c - entry point for AFL++: persistent mode, inputs in shared memory. */
#include <unistd.h>

#include "program.h"

__AFL_FUZZ_INIT();

int main(void)
{
    __AFL_INIT();
    const unsigned char *data = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(2000))
        FUZZ_PROGRAM(data, (size_t)__AFL_FUZZ_TESTCASE_LEN);
    return 0;
}
