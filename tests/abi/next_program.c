/* A program of a version to come, whose config has a field more, and a flag bit that says so; scripts/check-abi
 * makes both up. It says what the library that it runs over makes of them. */
#include <tsmbr.h>

#include <errno.h>
#include <stdio.h>

int main(void)
{
    tsmbr_resource r;
    tsmbr_config config = {.limit = 1, .flags = TSMBR_NEXT, .next = 42};
    errno = 0;
    int answer = tsmbr_init(&r, &config);
    /* What was refused is a resource with every default: the limit of one byte is gone, too. */
    int served = tsmbr_allocate(&r, 100, 8) != NULL;
    tsmbr_destroy(&r);
    if (answer == 0 && !served)
        puts("known");
    else if (answer == EINVAL && errno == EINVAL && served)
        puts("refused");
    else
        printf("init %d, errno %d, served %d\n", answer, errno, served);
    return 0;
}
