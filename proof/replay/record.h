/* record.h - makes every atomic access of the library one line of a trace, in the order in which they
 * happen. Included before each unmodified file of src, by the compiler's -include.
 *
 * One lock around the access and the line about it. That the accesses then follow each other is what the
 * machine says of them; what the memory orders allow beyond that is not for a trace to show. */
#ifndef TSMBR_RECORD_H
#define TSMBR_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

void record_yield(const char *step); /* now and then lets other threads run, longer before a compare-and-swap */
void record_lock(void);
void record_unlock(void);

/* With the lock held. `step` is the name of the function in src/steps.h. */
void record_load(const char *step, const volatile void *word, size_t value);
void record_store(const char *step, const volatile void *word, size_t value);
void record_cas(const char *step, const volatile void *word, size_t expected, size_t found, size_t desired);
void record_add(const char *step, size_t value);

#define TSMBR_BEFORE_STEP() record_yield(__func__)

/* Fewer looks than a user's library has: a trace of a thread that looks again and again shows nothing new. */
#define TSMBR_LOOKS
enum { INSTALL_LOOKS = 3, RESERVE_LOOKS = 6 };

/* Lanes in the small chunks that traces have. */
#define PLACE_RUN_LEAST ((size_t)160)
#define PLACE_RUN_MOST ((size_t)320)
#define PLACE_RUN_PART ((size_t)4)
#define PLACE_EQUAL_UP_TO ((size_t)0)
#define PLACE_TABLE_PART ((size_t)4)

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_and_explicit

#define RECORD_TYPE(word) __typeof__((void)0, *(word))

#define atomic_load_explicit(word, order)                                                                         \
    __extension__({                                                                                               \
        record_lock();                                                                                            \
        RECORD_TYPE(word) value_ = *(word);                                                                       \
        record_load(__func__, (word), (size_t)value_);                                                            \
        record_unlock();                                                                                          \
        value_;                                                                                                   \
    })

#define atomic_store_explicit(word, value, order)                                                                 \
    __extension__({                                                                                               \
        record_lock();                                                                                            \
        *(word) = (value);                                                                                        \
        record_store(__func__, (word), (size_t)(value));                                                          \
        record_unlock();                                                                                          \
    })

#define atomic_compare_exchange_strong_explicit(word, seen, desired, won, lost)                                   \
    __extension__({                                                                                               \
        record_lock();                                                                                            \
        RECORD_TYPE(word) found_ = *(word);                                                                       \
        bool equal_ = found_ == *(seen);                                                                          \
        if (equal_)                                                                                               \
            *(word) = (desired);                                                                                  \
        record_cas(__func__, (word), (size_t) * (seen), (size_t)found_, (size_t)(desired));                       \
        *(seen) = found_;                                                                                         \
        record_unlock();                                                                                          \
        equal_;                                                                                                   \
    })

#define atomic_fetch_add_explicit(word, value, order)                                                             \
    __extension__({                                                                                               \
        record_lock();                                                                                            \
        *(word) += (value);                                                                                       \
        record_add(__func__, (value));                                                                            \
        record_unlock();                                                                                          \
    })

#define atomic_fetch_and_explicit(word, value, order)                                                             \
    __extension__({                                                                                               \
        record_lock();                                                                                            \
        *(word) &= (value);                                                                                       \
        record_add(__func__, (value));                                                                            \
        record_unlock();                                                                                          \
    })

#define atomic_fetch_sub_explicit(word, value, order)                                                             \
    __extension__({                                                                                               \
        record_lock();                                                                                            \
        *(word) -= (value);                                                                                       \
        record_add(__func__, (value));                                                                            \
        record_unlock();                                                                                          \
    })

#endif
