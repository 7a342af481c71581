// malloc_family.hpp - general allocators, each by its own functions, all in one process.
//
// The libraries are loaded with dlopen, privately: linked, most of them would replace malloc for the
// whole program, and so for each other. A call goes through a pointer, as a call of malloc in a
// dynamically linked program does; glibc's malloc is called the same way.
#ifndef TSMBR_BENCH_MALLOC_FAMILY_HPP
#define TSMBR_BENCH_MALLOC_FAMILY_HPP

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory_resource>
#include <new>
#include <string>
#include <vector>

#include "memory.hpp"

namespace bench
{

enum class general { glibc, jemalloc, mimalloc, tcmalloc, tbb };
constexpr std::size_t generals = 5;

constexpr std::array<const char *, generals> general_names = {"glibc_malloc", "jemalloc", "mimalloc", "tcmalloc",
                                                              "tbbmalloc"};

struct general_functions {
    void *(*allocate)(std::size_t bytes);
    void *(*allocate_aligned)(std::size_t alignment, std::size_t bytes);
    void (*free)(void *);
};

// Valid if available.
general_functions &functions_of(general which);

// Loads what there is. True if all of them are there; else one line for each that is not, with the
// Debian package that brings it.
std::vector<std::string> load_generals();
bool available(general which);

// jemalloc wants more thread-local memory than a running program has left for a library that comes
// later; the dynamic linker sets it aside at the start if told so in the environment. Starts this
// program again with that, or returns if it is set already, or cannot be.
void make_room_for_jemalloc(char **argv);

// Whoever uses malloc keeps the addresses somewhere and frees them: both are part of it.
template <general Which>
class general_allocator
{
public:
    static constexpr const char *name = general_names[static_cast<std::size_t>(Which)];
    static constexpr bool shared = true;
    static constexpr bool frees_each = true;
    explicit general_allocator(const environment &e) : keeps_(e.frees), lists_(e.threads), as_pmr_(functions_)
    {
        for (list &l : lists_)
            l.blocks.resize(keeps_ ? e.thread_blocks : 1);
    }
    auto allocator(unsigned thread)
    {
        list &l = lists_[thread];
        l.count = 0;
        return [this, &l, step = std::size_t{keeps_}](std::size_t bytes, std::size_t alignment) {
            void *const block = allocate(functions_, bytes, alignment);
            l.blocks[l.count] = block;
            l.count += step;
            return block;
        };
    }
    void finish(unsigned thread)
    {
        const list &l = lists_[thread];
        for (std::size_t i = 0; i < l.count; ++i)
            functions_.free(l.blocks[i]);
    }
    void reset() {}
    std::pmr::memory_resource *resource(unsigned) { return any(&as_pmr_); }

private:
    static void *allocate(const general_functions &f, std::size_t bytes, std::size_t alignment)
    {
        return alignment <= alignof(std::max_align_t) ? f.allocate(bytes) : f.allocate_aligned(alignment, bytes);
    }
    struct alignas(apart) list {
        std::vector<void *> blocks;
        std::size_t count = 0;
    };
    class pmr : public std::pmr::memory_resource
    {
    public:
        explicit pmr(const general_functions &f) : functions_(f) {}

    private:
        void *do_allocate(std::size_t bytes, std::size_t alignment) override
        {
            void *const block = general_allocator::allocate(functions_, bytes, alignment);
            if (block == nullptr)
                throw std::bad_alloc();
            return block;
        }
        void do_deallocate(void *block, std::size_t, std::size_t) override { functions_.free(block); }
        bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

        general_functions functions_;
    };

    general_functions functions_ = functions_of(Which);
    bool keeps_;
    std::vector<list> lists_;
    pmr as_pmr_;
};

} // namespace bench

#endif
