// contenders.hpp - what is compared: ways for several threads to get blocks.
//
// A contender is a class with
//
//     name                its row
//     contender(threads)  made before the threads start, for a run of many rounds
//     allocator(thread)   a callable, bytes to block. Each thread asks for one in each round, so what
//                         it holds by value can stay in registers
//     finish(thread)      what the thread still owes after its last block
//     reset()             ready for the next round; one thread, the others at rest
//
// and all of allocator, finish, reset are on the clock. All but malloc serve their blocks from the
// same region, touched before, so they differ in the way alone.
#ifndef TSMBR_BENCH_CONTENDERS_HPP
#define TSMBR_BENCH_CONTENDERS_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory_resource>
#include <mutex>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include "thread_safe_monotonic_buffer.hpp"

namespace contenders
{

// What all threads together get in one round: several times a core's L2 cache, and well within L3.
constexpr std::size_t round_bytes = std::size_t{8} << 20;
constexpr std::size_t smallest_block = 16;
constexpr std::size_t alignment = 8;
// Two lines: the prefetcher fetches lines in pairs.
constexpr std::size_t apart = 128;
constexpr std::size_t huge_page = std::size_t{2} << 20;
// More than the blocks need, for a chunk's record.
constexpr std::size_t region_bytes = round_bytes + huge_page;

// On huge pages where they can be had: the TLBs of two cores hold twice as many small ones as that of
// one, so that one thread alone would look slow.
inline unsigned char *region()
{
    static unsigned char *const memory = [] {
        void *const pages = std::aligned_alloc(huge_page, region_bytes);
        if (pages == nullptr)
            std::abort();
#if defined(MADV_HUGEPAGE)
        (void)madvise(pages, region_bytes, MADV_HUGEPAGE);
#endif
        return static_cast<unsigned char *>(std::memset(pages, 1, region_bytes));
    }();
    return memory;
}

// Where a thread's part of the region begins, for contenders with private memory.
inline unsigned char *part(unsigned thread, unsigned threads)
{
    return region() + round_bytes / threads * thread;
}

// Hides from the compiler which resource it is, as where resources are passed around.
inline std::pmr::memory_resource *any(std::pmr::memory_resource *resource)
{
    benchmark::DoNotOptimize(resource);
    return resource;
}

// What most contenders do after a round.
struct nothing_owed {
    void finish(unsigned) {}
    void reset() {}
};

class region_upstream : public std::pmr::memory_resource
{
    void *do_allocate(std::size_t bytes, std::size_t) override
    {
        if (bytes > region_bytes)
            throw std::bad_alloc();
        return region();
    }
    void do_deallocate(void *, std::size_t, std::size_t) override {}
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }
};

class tsmbr_adapter : public nothing_owed
{
public:
    static constexpr const char *name = "tsmbr_pmr_adapter";
    // One chunk serves a whole round. It is obtained here, because later all threads would ask together.
    explicit tsmbr_adapter(unsigned) : resource_(round_bytes, &upstream_)
    {
        (void)resource_.allocate(1);
        reset();
    }
    auto allocator(unsigned)
    {
        return [resource = any(&resource_)](std::size_t bytes) { return resource->allocate(bytes, alignment); };
    }
    void reset() { resource_.reset(); }
    tsmbr_resource *native_handle() { return resource_.native_handle(); }

private:
    region_upstream upstream_;
    alignas(apart) tsmbr::thread_safe_monotonic_buffer_resource resource_;
};

class tsmbr_c : public nothing_owed
{
public:
    static constexpr const char *name = "tsmbr_allocate";
    explicit tsmbr_c(unsigned threads) : made_(threads) {}
    auto allocator(unsigned)
    {
        return [resource = made_.native_handle()](std::size_t bytes) {
            return tsmbr_allocate(resource, bytes, alignment);
        };
    }
    void reset() { tsmbr_reset(made_.native_handle(), SIZE_MAX); }

private:
    tsmbr_adapter made_;
};

class mutex_pmr : public nothing_owed
{
public:
    static constexpr const char *name = "mutex_one_pmr";
    explicit mutex_pmr(unsigned) : resource_(region(), region_bytes, std::pmr::null_memory_resource()) {}
    auto allocator(unsigned)
    {
        return [this, resource = any(&resource_)](std::size_t bytes) {
            const std::lock_guard<std::mutex> lock(mutex_);
            return resource->allocate(bytes, alignment);
        };
    }
    void reset() { resource_.release(); } // back to the start of the buffer

private:
    alignas(apart) std::mutex mutex_; // the resource's words on its line: who has the one has the other
    std::pmr::monotonic_buffer_resource resource_;
};

class private_pmr : public nothing_owed
{
public:
    static constexpr const char *name = "private_pmr";
    explicit private_pmr(unsigned threads)
    {
        for (unsigned thread = 0; thread < threads; ++thread)
            arenas_.emplace_back(part(thread, threads), round_bytes / threads);
    }
    auto allocator(unsigned thread)
    {
        return [resource = any(&arenas_[thread].resource)](std::size_t bytes) {
            return resource->allocate(bytes, alignment);
        };
    }
    void reset()
    {
        for (arena &a : arenas_)
            a.resource.release();
    }

private:
    struct alignas(apart) arena {
        arena(void *memory, std::size_t bytes) : resource(memory, bytes, std::pmr::null_memory_resource()) {}
        std::pmr::monotonic_buffer_resource resource;
    };
    std::deque<arena> arenas_; // a resource cannot be moved
};

// Whoever uses malloc keeps the pointers somewhere and frees them: both are part of it.
class malloc_free : public nothing_owed
{
public:
    static constexpr const char *name = "malloc_free";
    explicit malloc_free(unsigned threads) : lists_(threads)
    {
        for (list &l : lists_)
            l.blocks.resize(round_bytes / threads / smallest_block);
    }
    auto allocator(unsigned thread)
    {
        list &l = lists_[thread];
        l.count = 0;
        return [&l](std::size_t bytes) { return l.blocks[l.count++] = std::malloc(bytes); };
    }
    void finish(unsigned thread)
    {
        const list &l = lists_[thread];
        for (std::size_t i = 0; i < l.count; ++i)
            std::free(l.blocks[i]);
    }

private:
    struct alignas(apart) list {
        std::vector<void *> blocks;
        std::size_t count = 0;
    };
    std::vector<list> lists_;
};

// The least a thread can do. How this row scales is what the machine gave.
class control : public nothing_owed
{
public:
    static constexpr const char *name = "control_inline_bump";
    explicit control(unsigned threads) : threads_(threads) {}
    auto allocator(unsigned thread)
    {
        unsigned char *const memory = part(thread, threads_);
        return [cursor = memory, end = memory + round_bytes / threads_](std::size_t bytes) mutable -> void * {
            const std::size_t whole = (bytes + alignment - 1) & ~(alignment - 1);
            if (whole > static_cast<std::size_t>(end - cursor))
                return nullptr;
            unsigned char *const block = cursor;
            cursor += whole;
            return block;
        };
    }

private:
    unsigned threads_;
};

} // namespace contenders

#endif
