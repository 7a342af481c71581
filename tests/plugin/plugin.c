/* plugin.c - a module that holds the static library, to be loaded and unloaded. See dlclose.c. */
#include "tsmbr.h"

#include "../dlclose.h"

/* By name, for dlsym. */
extern const calls plugin_calls;

__attribute__((__visibility__("default"))) const calls plugin_calls = {
    tsmbr_init, tsmbr_allocate, tsmbr_on_release, tsmbr_get_statistics, tsmbr_destroy,
};
