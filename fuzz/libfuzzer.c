/* libfuzzer.c - entry point for libFuzzer. */
#include "program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_PROGRAM(data, size);
    return 0;
}
