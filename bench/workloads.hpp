// workloads.hpp - what threads do with a contender, and what one of their blocks costs.
#ifndef TSMBR_BENCH_WORKLOADS_HPP
#define TSMBR_BENCH_WORKLOADS_HPP

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "contenders.hpp"
#include "rounds.hpp"
#include "shape.hpp"
#include "word_index.h"

namespace bench
{

// The cell's figure: time of a core for one block. Who scales perfectly shows the same whatever the
// number of threads; who takes turns shows twice as much on two cores.
inline double ns_per_block(double round_seconds, unsigned threads, std::size_t thread_blocks)
{
    return round_seconds * 1e9 * std::min(threads, cores()) / (static_cast<double>(thread_blocks) * threads);
}

enum class writes { first_byte, every_line };

template <writes What>
void write_block(void *block, std::size_t bytes)
{
    if (block == nullptr)
        std::abort();
    auto *const byte = static_cast<volatile unsigned char *>(block);
    byte[0] = 1;
    if (What == writes::every_line) {
        for (std::size_t at = 64; at < bytes; at += 64)
            byte[at] = 1;
        byte[bytes - 1] = 1;
    }
}

// One loop for all contenders. The address is shown to the compiler, and with it all memory. A function of its
// own, with the allocator a local: inlined where threads meet, gcc kept the counter and masks of some loops on the
// stack, raw_bump's among them, and each round trip of the counter took longer than a block.
template <writes What, class Allocator>
__attribute__((__noinline__)) void allocate_blocks(Allocator allocate, const std::uint32_t *sizes,
                                                   std::size_t mask, std::size_t blocks, std::size_t alignment)
{
    for (std::size_t i = 0; i < blocks; ++i) {
        const std::size_t bytes = sizes[i & mask];
        void *block = allocate(bytes, alignment);
        write_block<What>(block, bytes);
        benchmark::DoNotOptimize(block);
    }
}

// What a round of a workload of blocks is.
struct plan {
    environment made_for;
    unsigned unseen; // rounds before the clock counts
};

inline plan plan_of(const shape &s, const size_list &sizes)
{
    constexpr std::size_t mebi = std::size_t{1} << 20;
    constexpr std::size_t thread_least = 16384; // blocks: a round must outlast what starts it
    environment e = {s.threads, 0, false, true, 0, false};
    switch (s.what) {
    case workload::cold:
        e.round_bytes = s.extent * mebi;
        e.own_memory = true;
        e.frees = false;
        break;
    case workload::frame:
        e.round_bytes = s.threads * mebi;
        e.own_memory = true;
        e.told = s.extent != 0;
        break;
    default: {
        const std::size_t large_blocks = thread_least * (s.bytes != mixed_sizes ? s.bytes : 256);
        e.round_bytes = std::min(most_round_bytes, std::max({8 * mebi, s.threads * mebi, large_blocks}));
    }
    }
    if (s.what == workload::warm && s.extent != 0)
        e.round_bytes = std::min(most_round_bytes, s.extent * mebi);
    const std::size_t footprint = e.round_bytes / s.threads;
    e.thread_blocks = sizes.blocks_in(footprint, s.alignment);
    if ((s.what == workload::warm && s.extent == 0) || s.what == workload::written)
        // enough is enough: the slow ones would take all the time
        e.thread_blocks = std::min(e.thread_blocks, std::max(std::size_t{131072} / s.threads, thread_least));
    return {e, s.what == workload::cold ? 0u : 1u};
}

// No line of a contender is one of what else lies on the stack of the thread that made it.
template <class Contender>
struct alone {
    explicit alone(const environment &e) : contender(e) {}
    alignas(apart) Contender contender;
    alignas(apart) char end = 0;
};

template <writes What, class Contender>
double measure_blocks(const shape &s, double enough)
{
    const size_list sizes(s.bytes);
    const plan p = plan_of(s, sizes);
    alone<Contender> made(p.made_for);
    Contender &contender = made.contender;
    const std::size_t blocks = p.made_for.thread_blocks;
    const auto work = [&](unsigned thread) {
        allocate_blocks<What>(contender.allocator(thread), sizes.data(), sizes.count() - 1, blocks, s.alignment);
        contender.finish(thread);
    };
    const bool resets = s.what != workload::cold;
    const auto reset = [&] {
        if (resets)
            contender.reset();
    };
    return ns_per_block(run_rounds(s.threads, p.unseen, enough, work, reset), s.threads, blocks);
}

// Words as source code has them, most too long to be kept inside a string object.
const std::vector<std::string> &container_words();
// Builds and drops a map of word to places; returns how many places it got.
std::size_t build_map(std::pmr::memory_resource *resource);
constexpr std::size_t map_insertions = 16384;

// The figure is that of one insertion, which allocates some three times.
template <class Contender>
double measure_containers(const shape &s, double enough)
{
    const environment e = {s.threads, s.threads * (std::size_t{1} << 20), true, false, 1, false};
    alone<Contender> made(e);
    Contender &contender = made.contender;
    (void)container_words();
    const auto work = [&](unsigned thread) {
        if (build_map(contender.resource(thread)) != map_insertions)
            std::abort();
        contender.finish(thread);
    };
    const auto reset = [&] { contender.reset(); };
    return ns_per_block(run_rounds(s.threads, 1, enough, work, reset), s.threads, map_insertions);
}

// The index of the example, built once and torn down, by all threads out of one contender.
template <class Contender>
double measure_index(const shape &s)
{
    const environment e = {s.threads, std::size_t{1} << 20, true, false, 1, false};
    Contender contender(e);
    word_index_memory memory = {};
    memory.context = contender.resource(0);
    memory.allocate = [](void *context, std::size_t bytes, std::size_t alignment) {
        return static_cast<std::pmr::memory_resource *>(context)->allocate(bytes, alignment);
    };
    if (Contender::frees_each)
        memory.free = [](void *context, void *block) {
            static_cast<std::pmr::memory_resource *>(context)->deallocate(block, 1, 1);
        };
    word_index_times t = {};
    if (!word_index_measure(s.extent != 0 ? "/usr/include/c++" : "/usr/include", &memory, s.threads, &t))
        return -1;
    const auto reset_start = clock_type::now();
    contender.reset();
    return ns_per_block(t.seconds + seconds_since(reset_start), s.threads, t.blocks / s.threads);
}

// One run of a cell: at least `enough` seconds on the clock. Nanoseconds; negative if it cannot be.
template <class Contender>
double measure(const shape &s, double enough)
{
    switch (s.what) {
    case workload::cold:
        return measure_blocks<writes::every_line, Contender>(s, 0);
    case workload::written:
        return measure_blocks<writes::every_line, Contender>(s, enough);
    case workload::containers:
        return measure_containers<Contender>(s, enough);
    case workload::index:
        if constexpr (Contender::shared)
            return measure_index<Contender>(s);
        else
            return -1;
    default:
        return measure_blocks<writes::first_byte, Contender>(s, enough);
    }
}

} // namespace bench

#endif
