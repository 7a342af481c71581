// shape.hpp - one cell of the benchmark: which workload, which sizes, how many threads.
#ifndef TSMBR_BENCH_SHAPE_HPP
#define TSMBR_BENCH_SHAPE_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace bench
{

enum class workload {
    warm,       // rounds over memory that is in use already
    cold,       // one round over fresh memory in a fresh process, all of it written
    frame,      // rounds as a game or a server has them: everything default, reset in between
    containers, // each thread builds and drops a map of its own out of the common resource
    index,      // the word index of the examples over /usr/include
    written,    // warm, and every line of each block is written
};

inline const char *name_of(workload w)
{
    constexpr std::array<const char *, 6> names = {"warm", "cold", "frame", "containers", "index", "written"};
    return names[static_cast<std::size_t>(w)];
}

// Block sizes that a program mixes; stands for bytes.
constexpr std::size_t mixed_sizes = 0;

struct shape {
    workload what;
    std::size_t bytes;     // of a block, or mixed_sizes
    std::size_t alignment; // of every block
    unsigned threads;
    std::size_t extent; // cold: MiB of all blocks; warm: the same if not as usual; frame: 1 if who can be told how
                        // large a frame is was told; index: 1 for the headers of C++ alone; else 0

    // All that tells one cell from another, sorted as tables are.
    auto key() const { return std::make_tuple(what, bytes, alignment, extent, threads); }
    bool operator<(const shape &other) const { return key() < other.key(); }
};

constexpr std::size_t align_up(std::size_t bytes, std::size_t alignment)
{
    return (bytes + alignment - 1) & ~(alignment - 1);
}

// The sizes a thread asks for, again and again: a power of two of them.
class size_list
{
public:
    explicit size_list(std::size_t bytes)
    {
        if (bytes != mixed_sizes) {
            sizes_.push_back(static_cast<std::uint32_t>(bytes));
            return;
        }
        // Half small nodes, some strings and records, few buffers; the same in every run.
        std::uint64_t state = 1;
        for (int i = 0; i < 4096; ++i) {
            const std::uint32_t roll = draw(state) % 100;
            const std::uint32_t low = roll < 50 ? 8 : roll < 80 ? 64 : roll < 95 ? 256 : 1024;
            const std::uint32_t width = roll < 50 ? 56 : roll < 80 ? 192 : roll < 95 ? 768 : 3072;
            sizes_.push_back(low + draw(state) % width);
        }
    }
    std::size_t operator[](std::size_t i) const { return sizes_[i & (sizes_.size() - 1)]; }
    std::size_t count() const { return sizes_.size(); }
    const std::uint32_t *data() const { return sizes_.data(); }

    // How many blocks fit into that many bytes, without loss between them.
    std::size_t blocks_in(std::size_t room, std::size_t alignment) const
    {
        std::size_t once = 0;
        for (const std::uint32_t size : sizes_)
            once += align_up(size, alignment);
        return std::max<std::size_t>(
            1, static_cast<std::size_t>(static_cast<double>(room) / static_cast<double>(once) *
                                        static_cast<double>(sizes_.size())));
    }

private:
    static std::uint32_t draw(std::uint64_t &state)
    {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::uint32_t>(state >> 33);
    }
    std::vector<std::uint32_t> sizes_;
};

} // namespace bench

#endif
