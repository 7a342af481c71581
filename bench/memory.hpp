// memory.hpp - what contenders serve their blocks from.
#ifndef TSMBR_BENCH_MEMORY_HPP
#define TSMBR_BENCH_MEMORY_HPP

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <type_traits>

#include <sys/mman.h>

#include <benchmark/benchmark.h>

namespace bench
{

// Two lines: the prefetcher fetches lines in pairs.
constexpr std::size_t apart = 128;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t most_round_bytes = std::size_t{64} << 20;
// More than the blocks need: records of chunks, ends left over, bounds between threads' parts.
constexpr std::size_t region_bytes = most_round_bytes + most_round_bytes / 4 + huge_page;

// What a contender is made for.
struct environment {
    unsigned threads;
    std::size_t round_bytes; // of all blocks of a round together
    bool own_memory;         // constructed as users construct it; else over the region
    bool frees;              // blocks are freed one by one by who has to, so their addresses are kept
    std::size_t thread_blocks;
    bool told; // with own_memory: who can be told how large a round is was told
};

// Memory that has been touched before. On huge pages where they can be had: the TLBs of two cores hold
// twice as many small ones as that of one, so that one thread alone would look slow.
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

// A thread's part of the region, for contenders with private memory.
struct part {
    unsigned char *begin;
    std::size_t bytes;
};

inline part part_of(const environment &e, unsigned thread)
{
    const std::size_t bytes = (e.round_bytes / e.threads + e.round_bytes / e.threads / 8 + apart) / apart * apart;
    return {region() + bytes * thread, bytes};
}

// Touches that much memory and gives it back. A virtual machine's host may take free memory away (balloon,
// free page reporting), huge pages first, and the next touch then pays for the host's fault, too: some
// twenty times the guest's own, or nothing, by chance. Fresh memory is to mean fresh from the kernel.
inline void touch_and_return(std::size_t bytes)
{
    void *const pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return;
#if defined(MADV_HUGEPAGE)
    (void)madvise(pages, bytes, MADV_HUGEPAGE);
#endif
    for (std::size_t at = 0; at < bytes; at += 4096)
        static_cast<volatile unsigned char *>(pages)[at] = 1;
    (void)munmap(pages, bytes);
}

// Hides from the compiler which resource it is, as where resources are passed around.
template <class Base = std::pmr::memory_resource>
Base *any(std::enable_if_t<true, Base> *resource)
{
    benchmark::DoNotOptimize(resource); // a local: gcc 12 drops the store to a member that is given to it
    return resource;
}

// Hands the region out in order, several threads at once; what does not fit comes from new.
class region_upstream : public std::pmr::memory_resource
{
public:
    // At rest: what was handed out has been given back. Relaxed: who comes next was started, or let go on, since.
    void rewind() { next_.store(0, std::memory_order_relaxed); }

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        const std::size_t step = (bytes + 63) & ~std::size_t{63};
        // Relaxed: the sum alone parts the region, and what is in it was written before the threads started.
        const std::size_t at = next_.fetch_add(step, std::memory_order_relaxed);
        if (alignment <= 64 && step <= region_bytes && at <= region_bytes - step)
            return region() + at;
        return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override
    {
        const auto *const byte = static_cast<const unsigned char *>(ptr);
        if (byte < region() || byte >= region() + region_bytes)
            std::pmr::new_delete_resource()->deallocate(ptr, bytes, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    std::atomic<std::size_t> next_{0};
};

} // namespace bench

#endif
