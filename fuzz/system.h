/* system.h - a system that refuses, by program.
 *
 * The sources of the library that programs judge are compiled with this header before each: what they ask of the
 * system goes through system.c. */
#ifndef TSMBR_FUZZ_SYSTEM_H
#define TSMBR_FUZZ_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the first-th call for mappings, protection, advice or random numbers is refused, and with `all` the
 * calls behind it, too, until system_serve. One thread at a time: of several those that hold the supply's lock. */
void system_refuse(unsigned first, bool all);

/* Back to a system that refuses nothing of itself. Mappings that it kept when it was asked to unmap them go now.
 * Returns whether it has refused anything. */
bool system_serve(void);

/* The next thread that wants to be told of its end is refused that. Any thread. */
void system_refuse_end(void);

bool system_refuses(void);

/* What the library has mapped and not unmapped, bytes. Any thread. */
size_t system_mapped(void);

#if !defined(_WIN32)
#include <pthread.h>
#include <sys/mman.h>

void *system_mmap(void *ptr, size_t bytes, int protection, int flags, int file, long offset);
int system_munmap(void *ptr, size_t bytes);
int system_mprotect(void *ptr, size_t bytes, int protection);
int system_madvise(void *ptr, size_t bytes, int advice);
int system_setspecific(pthread_key_t key, const void *value);

#if defined(SYSTEM_REFUSES)
#define mmap system_mmap
#define munmap system_munmap
#define mprotect system_mprotect
#define madvise system_madvise
#define pthread_setspecific system_setspecific
#endif
#endif

#endif
