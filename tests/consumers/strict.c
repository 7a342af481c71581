/* tsmbr.h as a strict consumer includes it: twice, among the macros of <windows.h>, every macro and inline
 * function used. scripts/check-consumers compiles it with every warning there is, as C of three standards and as
 * C++, and links two files of it. */
#ifdef STRICT_AMONG_MACROS
#include "among_macros.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#endif

#if defined(__cplusplus) && defined(STRICT_IN_A_BLOCK)
extern "C++" {
#endif
#include <tsmbr.h>

#include <tsmbr.h>
#if defined(__cplusplus) && defined(STRICT_IN_A_BLOCK)
}
#endif

#ifdef __cplusplus
#define NONE nullptr
extern "C" int strict(void);
extern "C" int strict_second(void);
#else
#define NONE NULL
int strict(void);
int strict_second(void);
#endif

#ifdef STRICT_SECOND
#define STRICT strict_second
#else
#define STRICT strict
#endif

#if TSMBR_VERSION != TSMBR_VERSION_MAJOR * 10000 + TSMBR_VERSION_MINOR * 100 + TSMBR_VERSION_PATCH
#error "the version's parts do not make the version"
#endif

int STRICT(void)
{
    static tsmbr_resource arena = TSMBR_RESOURCE_INIT;
    tsmbr_config config = {tsmbr_guarded_upstream(), 100, NONE, 0, 1000000, TSMBR_SHARED_ONLY};
    tsmbr_lane lane;
    tsmbr_statistics statistics;
    const char *text;
    double *one;
    short *many;
    void *of_lane;
    if (tsmbr_init(&arena, &config) != 0)
        return 0;
    one = tsmbr_new(&arena, double);
    many = tsmbr_new_array(&arena, short, 10);
    text = tsmbr_printf(&arena, "%d %s", 1, TSMBR_VERSION_STRING);
    tsmbr_lane_open(&lane, &arena);
    of_lane = tsmbr_lane_allocate(&lane, 10, 4);
    if (one == NONE || many == NONE || text == NONE || of_lane == NONE ||
        tsmbr_lane_try_allocate(&lane, 1, 1) == NONE)
        return 0;
    tsmbr_lane_close(&lane);
    tsmbr_get_statistics(&arena, &statistics);
    tsmbr_destroy(&arena);
    return statistics.allocated_bytes >= 40 && TSMBR_ALIGNOF(double) >= 4 && tsmbr_version() == TSMBR_VERSION;
}
