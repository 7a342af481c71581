// other_arenas.hpp - arenas of libraries that may be missing when this is built.
#ifndef TSMBR_BENCH_OTHER_ARENAS_HPP
#define TSMBR_BENCH_OTHER_ARENAS_HPP

#include "contenders.hpp"
#include "shape.hpp"

#if defined(BENCH_HAS_BOOST)
#include <boost/container/pmr/memory_resource.hpp>
#include <boost/container/pmr/monotonic_buffer_resource.hpp>
#endif
#if defined(BENCH_HAS_PROTOBUF)
#include <google/protobuf/arena.h>
#endif

namespace bench
{

#if defined(BENCH_HAS_BOOST)
class boost_mutex
    : public behind_mutex<boost::container::pmr::monotonic_buffer_resource, boost::container::pmr::memory_resource>
{
public:
    static constexpr const char *name = "boost_mutex";
    using behind_mutex::behind_mutex;
};
#endif

#if defined(BENCH_HAS_PROTOBUF)
// Shared by threads, each with blocks of its own inside. Its blocks are at most 8 KiB unless it is told
// otherwise; over the region it is told 256 KiB, which suits it better.
class protobuf_arena : public nothing_owed
{
public:
    static constexpr const char *name = "protobuf_arena";
    static constexpr bool shared = true;
    explicit protobuf_arena(const environment &e)
    {
        if (e.own_memory) {
            arena_.emplace();
            return;
        }
        google::protobuf::ArenaOptions options;
        options.start_block_size = block_bytes;
        options.max_block_size = block_bytes;
        options.block_alloc = [](std::size_t bytes) { return memory().allocate(bytes); };
        options.block_dealloc = [](void *block, std::size_t bytes) { memory().deallocate(block, bytes); };
        memory().rewind();
        arena_.emplace(options);
    }
    auto allocator(unsigned)
    {
        return [arena = &*arena_](std::size_t bytes, std::size_t alignment) {
            return allocate(*arena, bytes, alignment);
        };
    }
    void reset()
    {
        arena_->Reset();
        memory().rewind();
    }
    std::pmr::memory_resource *resource(unsigned) { return any(&as_pmr_); }

private:
    static constexpr std::size_t block_bytes = std::size_t{256} << 10;
    // Its functions for blocks have no context.
    static region_upstream &memory()
    {
        static region_upstream upstream;
        return upstream;
    }
    // It takes no size that is not a multiple of eight where the alignment is larger.
    static void *allocate(google::protobuf::Arena &arena, std::size_t bytes, std::size_t alignment)
    {
        return arena.AllocateAligned(align_up(bytes, 8), alignment);
    }
    struct call {
        protobuf_arena *self;
        void *operator()(std::size_t bytes, std::size_t alignment) const
        {
            return allocate(*self->arena_, bytes, alignment < 8 ? 8 : alignment);
        }
    };
    alignas(apart) std::optional<google::protobuf::Arena> arena_;
    resource_of<call> as_pmr_{call{this}};
};
#endif

} // namespace bench

#endif
