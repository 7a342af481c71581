/* helpers.c - copies and formatted text, on top of the public interface alone. */
#if defined(__MINGW32__)
/* The C standard's formats, not Microsoft's. */
#define __USE_MINGW_ANSI_STDIO 1 // NOLINT(*-reserved-identifier,cert-dcl*): the system reads this name
#endif

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tools.h"

void *tsmbr_calloc(tsmbr_resource *self, size_t count, size_t size)
{
    TOOLS_CALL(self);
    void *block = tsmbr_allocate_array(self, count, size, _Alignof(max_align_t));
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

static void *duplicate(tsmbr_resource *self, const void *source, size_t bytes, size_t extra, size_t alignment)
{
    if (source == NULL && (bytes != 0 || extra != 0)) {
        errno = EINVAL;
        return NULL;
    }
    if (bytes > SIZE_MAX - extra) {
        errno = ENOMEM;
        return NULL;
    }
    char *block = tsmbr_allocate(self, bytes + extra, alignment);
    if (block == NULL)
        return NULL;
    if (bytes != 0)
        memcpy(block, source, bytes);
    memset(block + bytes, 0, extra);
    return block;
}

void *tsmbr_memdup(tsmbr_resource *self, const void *source, size_t bytes)
{
    TOOLS_CALL(self);
    return duplicate(self, source, bytes, 0, _Alignof(max_align_t));
}

char *tsmbr_strdup(tsmbr_resource *self, const char *text)
{
    TOOLS_CALL(self);
    return duplicate(self, text, text != NULL ? strlen(text) : 0, 1, 1);
}

char *tsmbr_strndup(tsmbr_resource *self, const char *text, size_t most_bytes)
{
    TOOLS_CALL(self);
    /* memchr, not strlen: the text need not end within most_bytes. */
    const char *end = text != NULL ? memchr(text, 0, most_bytes) : NULL;
    return duplicate(self, text, end != NULL ? (size_t)(end - text) : most_bytes, 1, 1);
}

char *tsmbr_vprintf(tsmbr_resource *self, const char *format, va_list arguments)
{
    TOOLS_CALL(self);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length >= 0 ? tsmbr_allocate(self, (size_t)length + 1, 1) : NULL;
    if (text != NULL && vsnprintf(text, (size_t)length + 1, format, again) < 0) {
        /* It had no memory of its own the second time. What can be given back is. */
        (void)tsmbr_try_resize(self, text, (size_t)length + 1, 1);
        text = NULL;
    }
    va_end(again);
    return text;
}

char *tsmbr_printf(tsmbr_resource *self, const char *format, ...)
{
    TOOLS_CALL(self);
    va_list arguments;
    va_start(arguments, format);
    char *text = tsmbr_vprintf(self, format, arguments);
    va_end(arguments);
    return text;
}
