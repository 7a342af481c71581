/* model.hpp - what the library's words and fields mean under Relacy. Stands in for <stdatomic.h>.
 *
 * Every word of the memory that threads share has a cell. The cell holds Relacy's model of it: an
 * atomic with a history of values, or a variable watched for races. The memory itself keeps its real
 * addresses and layout, and its bytes are not looked at. So records can be made anywhere, also at the
 * end of a chunk, and every use of a chunk that was given back is seen. */
#ifndef MODEL_HPP
#define MODEL_HPP

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <relacy/relacy.hpp>

/* Relacy's replacements of these are not wanted. Its sched_yield is. */
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno

struct lane;
struct thread_state;

namespace model
{

/* The resource lies at the start of the memory, then come the slots of all threads and the key. */
enum { THREADS_MOST = 3, MEMORY = 16 << 10, WORD = 8 };
enum { SLOTS_AT = 512, KEY_AT = SLOTS_AT + 64, FREE_AT = KEY_AT + 64 };

extern unsigned char memory[MEMORY];
inline bool in_memory(const void *p)
{
    return p >= memory && p < memory + MEMORY;
}
extern int error_number[THREADS_MOST];

[[noreturn]] void fail(const char *what, rl::debug_info_param where,
                       rl::test_result_e result = rl::test_result_user_assert_failed);

/* What is in a cell. */
struct kind {
    void (*destroy)(void *model);
    void (*end)(void *model); /* the last use, when the memory is given back */
    bool plain;               /* no atomic */
};

struct cell {
    alignas(16) unsigned char model[64];
    const kind *is; /* NULL: nothing yet */
    bool gone;      /* in memory that was given back */
    bool published; /* a record that other threads can reach begins here */
};

cell *cell_at(const void *address);

template <class T>
void end(rl::var<T> *v)
{
    (*v)($) = T();
}
template <class T>
void end(rl::atomic<T> *)
{
}
template <class M>
struct is_plain {
    static const bool value = false;
};
template <class T>
struct is_plain<rl::var<T>> {
    static const bool value = true;
};
template <class M>
struct kind_of {
    static void destroy(void *m) { static_cast<M *>(m)->~M(); }
    static void end(void *m) { model::end(static_cast<M *>(m)); }
    static const kind is;
};
template <class M>
const kind kind_of<M>::is = {destroy, end, is_plain<M>::value};

/* The model of the word at an address, made at its first use. */
template <class M>
M &at(const void *address)
{
    static_assert(sizeof(M) <= sizeof(cell::model), "a cell has room for every model");
    cell *c = cell_at(address);
    if (c->is == NULL) {
        new (c->model) M;
        c->is = &kind_of<M>::is;
    } else if (c->is != &kind_of<M>::is) {
        if (!c->is->plain)
            fail("one word used for two things", $);
        /* Of a block that has become smaller: all that was done with it must have happened before. */
        c->is->end(c->model);
        c->is->destroy(c->model);
        new (c->model) M;
        c->is = &kind_of<M>::is;
    }
    return *reinterpret_cast<M *>(c->model);
}

/* A step on a word, and whether other threads may run before it. They need not if the step commutes
 * with all they do: if the record is private as yet, or if, while threads run, the word is used by one
 * thread, only read, or only added to. The last is a guess, made for words that were there before the
 * threads began, and checked: a wrong one ends the exploration, which starts over and knows better. */
enum use { READ, ADD, WRITE };
bool commutes(const void *word, use);

struct step {
    bool alone;
    step(const void *word, use u) : alone(commutes(word, u))
    {
        if (alone)
            rl::ctx().disable_preemption();
    }
    ~step()
    {
        if (alone)
            rl::ctx().enable_preemption();
    }
};

template <class T>
void publish(T *record)
{
    if (record != NULL)
        cell_at(record)->published = true;
}
void publish(::lane *table);
inline void publish(unsigned char *) {} /* cursor and end of a lane: nothing is read there */
inline void publish(size_t) {}

/* _Atomic(T). */
template <class T>
struct word {
    T bits;

    rl::atomic<T> &atomic() { return at<rl::atomic<T>>(this); }

    T load(rl::memory_order order, rl::debug_info_param where)
    {
        step s(this, READ);
        return atomic().load(order, where);
    }
    void store(T value, rl::memory_order order, rl::debug_info_param where)
    {
        step s(this, WRITE);
        atomic().store(value, order, where);
        publish(value);
    }
    bool compare_exchange(T *seen, T desired, rl::memory_order order, rl::debug_info_param where,
                          rl::memory_order failure, rl::debug_info_param again)
    {
        step s(this, WRITE);
        bool won = atomic().compare_exchange_strong(*seen, desired, order, where, failure, again);
        if (won)
            publish(desired);
        return won;
    }
    T exchange(T value, rl::memory_order order, rl::debug_info_param where)
    {
        step s(this, WRITE);
        T was = atomic().exchange(value, order, where);
        publish(value);
        return was;
    }
    T add(T value, rl::memory_order order, rl::debug_info_param where)
    {
        step s(this, ADD);
        return atomic().fetch_add(value, order, where);
    }
    T subtract(T value, rl::memory_order order, rl::debug_info_param where)
    {
        step s(this, ADD);
        return atomic().fetch_sub(value, order, where);
    }
    T both(T value, rl::memory_order order, rl::debug_info_param where)
    {
        step s(this, WRITE);
        return atomic().fetch_and(value, order, where);
    }
};

/* A plain field. A copy of one, which C++ makes in `c ? field : NULL`, lies outside the memory and holds
 * the value. */
template <class T>
struct plain {
    T bits;

    plain() = default;
    plain(const plain &other) : bits(other) {}
    operator T() const { return in_memory(this) ? at<rl::var<T>>(this)($) : bits; }
    plain &operator=(T value)
    {
        at<rl::var<T>>(this)($) = value;
        return *this;
    }
    plain &operator=(const plain &other) { return *this = T(other); }
};

template <class T>
struct field : plain<T> {
    using plain<T>::operator=;
};
template <class T>
struct field<T *> : plain<T *> {
    using plain<T *>::operator=;
    field() = default;
    field(std::nullptr_t) { this->bits = nullptr; }
    explicit operator uintptr_t() const { return reinterpret_cast<uintptr_t>(static_cast<T *>(*this)); }
};

} // namespace model

using rl::mo_acq_rel;
using rl::mo_acquire;
using rl::mo_relaxed;
using rl::mo_release;
using rl::mo_seq_cst;
#define TSMBR_ATOMIC(type) model::word<type>
#define TSMBR_FIELD(type) model::field<type>
#define atomic_load_explicit(word, ...) ((word)->load(__VA_ARGS__))
#define atomic_store_explicit(word, value, ...) ((word)->store((value), __VA_ARGS__))
#define atomic_exchange_explicit(word, value, ...) ((word)->exchange((value), __VA_ARGS__))
#define atomic_compare_exchange_strong_explicit(word, seen, desired, ...)                                         \
    ((word)->compare_exchange((seen), (desired), __VA_ARGS__))
#define atomic_fetch_add_explicit(word, value, ...) ((word)->add((value), __VA_ARGS__))
#define atomic_fetch_sub_explicit(word, value, ...) ((word)->subtract((value), __VA_ARGS__))
#define atomic_fetch_and_explicit(word, value, ...) ((word)->both((value), __VA_ARGS__))
#define atomic_signal_fence(...) ((void)0) /* no signal handlers here */

/* What else C has and C++ spells otherwise, or not at all. */
#undef NULL
#define NULL nullptr
#define _Alignof alignof
#define _Static_assert static_assert
#ifndef ATOMIC_POINTER_LOCK_FREE
#define ATOMIC_POINTER_LOCK_FREE 2
#define ATOMIC_LONG_LOCK_FREE 2
#endif
#define errno (model::error_number[rl::thread_index()])

/* A broken contract (src/contract.h) is a failure like any other. */
#define abort() model::fail("a contract is broken, see above", $)

/* A thread is one of the model's, and ends when the scenario says so. */
#define TSMBR_THREAD (model::thread())
namespace model
{
thread_state *thread();
extern void (*at_thread_end)(void *);
int thread_will_end(pthread_key_t key, void *value);
void library_begins();
} // namespace model
#define __constructor__ __unused__
#define __destructor__ __unused__
#define pthread_key_create(key, end) (*(key) = 1, model::at_thread_end = (end), 0)
#define pthread_key_delete(key) 0
#define pthread_setspecific(key, value) model::thread_will_end(key, value)

/* Small chunks have lanes. */
#define PLACE_RUN_LEAST ((size_t)128)
#define PLACE_RUN_MOST ((size_t)128)
#define PLACE_RUN_PART ((size_t)16)
#define PLACE_EQUAL_UP_TO ((size_t)0)
#define PLACE_TABLE_PART ((size_t)16)
#define LANE_LINE ((size_t)32)

/* Looks are bounds on patience. Few of them reach every branch. */
#define TSMBR_LOOKS
namespace model
{
extern int install_looks, reserve_looks;
}
#define INSTALL_LOOKS model::install_looks
#define RESERVE_LOOKS model::reserve_looks

#endif
