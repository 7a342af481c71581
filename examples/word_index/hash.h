/* hash.h - one hash for words, paths and checksums. */
#ifndef WORD_INDEX_HASH_H
#define WORD_INDEX_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Every bit of the result depends on every bit of x (the finalizer of MurmurHash3). */
static inline uint64_t hash_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

/* FNV-1a, mixed. */
static inline uint64_t hash_bytes(const char *bytes, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash_mix(hash);
}

#endif
