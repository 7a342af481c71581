/* reader.c - numbers from bytes. */
#include "reader.h"

#include <stdint.h>

static const size_t BYTES_MOST = (size_t)20 << 20; /* of one block */
static const size_t BUFFER_MOST = (size_t)256 << 10;
static const size_t LIMIT_MOST = (size_t)8 << 20;
enum { SIZE_BITS = 8 * sizeof(size_t) };

unsigned read_byte(reader *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

static size_t shifted(size_t size, unsigned delta)
{
    return delta < 128 ? size + delta : size - (256u - delta);
}

/* What is left of the current chunk, as far as the model knows: of the latest block's. */
static size_t room_left(const model *m, unsigned resource)
{
    const subject *s = &m->subjects[resource];
    size_t room = 0;
    for (grant *g = supply_next(&s->supply, NULL); g != NULL; g = supply_next(&s->supply, g))
        if (s->exact && grant_capacity(g) - g->next > room)
            room = grant_capacity(g) - g->next;
    return room;
}

static size_t relative_size(const reader *in, unsigned what, unsigned resource)
{
    const model *m = in->a.m;
    if (m->concurrent)
        return what;
    const subject *s = &m->subjects[resource];
    switch (what) {
    case 0:
        return s->buffer_bytes;
    case 1:
        return room_left(m, resource);
    case 2:
        return s->limit - s->supply.held;
    case 3:
        return s->supply.last_bytes;
    case 4:
        return s->supply.last_bytes / 4;
    case 5:
        return s->supply.held;
    case 6:
        return s->supply.held / 4;
    default:
        return m->blocks.count != 0 ? m->blocks.items[m->blocks.count - 1].bytes : 1;
    }
}

/* Any size. */
size_t read_size(reader *in, unsigned resource)
{
    unsigned code = read_byte(in);
    if (code < 128)
        return code;
    unsigned more = read_byte(in);
    if (code < 176)
        return (code - 127) * (size_t)128 + more;
    if (code < 216)
        return shifted((size_t)1 << (8 + (code - 176) / 2), code % 2 == 0 ? more : 0);
    if (code < 240)
        return shifted(relative_size(in, (code - 216) % 8, resource), more);
    switch (code % 4) {
    case 0:
        return SIZE_MAX - more;
    case 1:
        return shifted((size_t)PTRDIFF_MAX, more);
    case 2:
        return SIZE_MAX / (more + 1);
    default:
        return shifted((size_t)1 << (SIZE_BITS - 8 + more / 32), more);
    }
}

/* A size that can be had, or one that cannot be represented. */
size_t read_bytes(reader *in, unsigned resource)
{
    size_t size = read_size(in, resource);
    return size <= BYTES_MOST || size > SIZE_MAX / 4 ? size : BYTES_MOST;
}

size_t read_alignment(reader *in)
{
    unsigned code = read_byte(in);
    if (code < 192)
        return (size_t)1 << code % 13;
    if (code < 240)
        return (size_t)1 << code % 24;
    if (code < 248)
        return (size_t)1 << (SIZE_BITS - 4 + code % 4);
    static const size_t odd[] = {0, 3, 6, 12, SIZE_MAX, SIZE_MAX / 2, 48, (size_t)1 << 30};
    return odd[code - 248];
}

plan read_plan(reader *in, unsigned resource)
{
    unsigned kind = read_byte(in);
    unsigned parts = read_byte(in);
    plan p = {.upstream = kind % 16, .buffer_bytes = SIZE_MAX};
    p.flags = ((parts & 1) != 0 ? TSMBR_SHARED_ONLY : 0) | ((parts & 64) != 0 ? TSMBR_NO_RECYCLE : 0) |
              ((parts & 128) != 0 ? TSMBR_RED_ZONES : 0);
    if (p.upstream < 8)
        p.upstream = 0;
    p.mistake = kind >= 0xE0 ? 1 + kind % 6 : 0;
    p.gap = (parts & 2) != 0 ? 0 : 64;
    if ((parts & 4) != 0)
        p.misalign = read_byte(in) % 64;
    if ((parts & 8) != 0)
        p.buffer_bytes = read_size(in, resource) % BUFFER_MOST;
    if ((parts & 16) != 0)
        p.limit = read_size(in, resource) % LIMIT_MOST;
    if ((parts & 32) != 0)
        p.initial_size = read_bytes(in, resource);
    return p;
}

/* A block that may be resized: one of the latest, or any. NULL: there is none. */
block *read_block(reader *in)
{
    blocks *list = in->a.mine != NULL ? in->a.mine : &in->a.m->blocks;
    unsigned code = read_byte(in);
    if (list->count == 0)
        return NULL;
    size_t i = code < 64 ? list->count - 1 - code % 8 % list->count : code * (size_t)131 % list->count;
    return list->items[i].garbage ? NULL : &list->items[i];
}
