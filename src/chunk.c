/* chunk.c - a chunk's memory: from the upstream, and back. */
#include "chunk.h"

chunk *tsmbr_chunk_obtain(const tsmbr_upstream *upstream, size_t total)
{
    unsigned char *memory;
    /*@ calls upstream_allocate; */
    memory = upstream->allocate(upstream->context, total, CHUNK_ALIGNMENT);
    if (memory == NULL)
        return NULL;
    size_t capacity = 0;
    if (!place_record((size_t)(uintptr_t)memory, total, &capacity)) {
        /*@ calls upstream_deallocate; */
        upstream->deallocate(upstream->context, memory, total, CHUNK_ALIGNMENT);
        return NULL;
    }
    chunk *c = (chunk *)(void *)(memory + capacity);
    /*@ assert own(c) && \valid(c); */
    next_store_relaxed(c, 0);
    c->allocation_ptr = memory;
    c->allocation_size = total;
    c->capacity = capacity;
    c->prev = NULL;
    c->follow = NULL;
    c->held = 0;
    TOOLS_EMPTY(memory, capacity);
    /*@ assert lists_ok; */
    /*@ assert chunk_ok(c); */
    /*@ assert record_lies(base(c), c->allocation_size, c->capacity); */
    return c;
}

void tsmbr_chunk_give_back(const tsmbr_upstream *upstream, chunk *c)
{
    /* The record is part of the memory given back: read it first. */
    unsigned char *memory = c->allocation_ptr;
    size_t total = c->allocation_size;
    TOOLS_GIVE_BACK(memory, total);
    /*@ calls upstream_deallocate; */
    upstream->deallocate(upstream->context, memory, total, CHUNK_ALIGNMENT);
}
