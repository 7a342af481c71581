// contenders.hpp - what is compared: this library, and what its users would pick instead of it.
//
// A contender is a class with
//
//     name                 its row
//     shared               whether one object serves all threads
//     contender(e)         made before the threads start, for many rounds
//     allocator(thread)    a callable: bytes, alignment to block. Each thread asks for one in each round
//     finish(thread)       what the thread still owes after its last block
//     reset()              ready for the next round; one thread, the others at rest
//     resource(thread)     the same as a std::pmr::memory_resource, for containers
//
// Allocator, finish and reset are on the clock. Each is called as its users call it: a pmr resource
// through a std::pmr::memory_resource * of unknown type, a C function by its name.
//
// Not here: the malloc family (malloc_family.hpp), arenas of other libraries (other_arenas.hpp), the controls
// (controls.hpp).
#ifndef TSMBR_BENCH_CONTENDERS_HPP
#define TSMBR_BENCH_CONTENDERS_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <vector>

#include "memory.hpp"
#include "thread_safe_monotonic_buffer.hpp"

namespace bench
{

// What most contenders owe after a round.
struct nothing_owed {
    static constexpr bool frees_each = false;
    void finish(unsigned) {}
};

// A memory_resource of a function, for contenders that are none themselves.
template <class Allocate>
class resource_of : public std::pmr::memory_resource
{
public:
    explicit resource_of(Allocate allocate) : allocate_(allocate) {}

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        void *const block = allocate_(bytes, alignment);
        if (block == nullptr)
            throw std::bad_alloc();
        return block;
    }
    void do_deallocate(void *, std::size_t, std::size_t) override {}
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    Allocate allocate_;
};

// ------------------------------------------------------------------------------- this library --

struct c_call {
    tsmbr_resource *resource;
    void *operator()(std::size_t bytes, std::size_t alignment) const
    {
        return tsmbr_allocate(resource, bytes, alignment);
    }
};

// One resource for all threads, by the C function.
template <unsigned Flags>
class tsmbr_plain : public nothing_owed
{
public:
    static constexpr const char *name = (Flags & TSMBR_SHARED_ONLY) != 0 ? "tsmbr_shared_only" : "tsmbr_allocate";
    static constexpr bool shared = true;
    explicit tsmbr_plain(const environment &e)
    {
        tsmbr_config config = {};
        config.flags = Flags;
        if (e.told || !e.own_memory)
            config.initial_size = e.round_bytes + e.round_bytes / 8;
        if (!e.own_memory) // one chunk serves a whole round, obtained here, because later all would ask together
            config.upstream = &upstream_;
        if (tsmbr_init(&resource_, &config) != 0)
            std::abort();
        if (!e.own_memory && tsmbr_allocate(&resource_, 1, 1) != nullptr)
            reset();
    }
    tsmbr_plain(const tsmbr_plain &) = delete;
    tsmbr_plain &operator=(const tsmbr_plain &) = delete;
    ~tsmbr_plain() { tsmbr_destroy(&resource_); }

    auto allocator(unsigned) { return c_call{&resource_}; }
    void reset() { tsmbr_reset(&resource_, SIZE_MAX); }
    std::pmr::memory_resource *resource(unsigned) { return any(&as_pmr_); }
    tsmbr_resource *native() { return &resource_; }

private:
    static void *obtain(void *context, std::size_t bytes, std::size_t alignment)
    {
        return static_cast<region_upstream *>(context)->allocate(bytes, alignment);
    }
    static void give_back(void *context, void *ptr, std::size_t bytes, std::size_t alignment)
    {
        static_cast<region_upstream *>(context)->deallocate(ptr, bytes, alignment);
    }

    region_upstream memory_;
    tsmbr_upstream upstream_ = {obtain, give_back, &memory_};
    alignas(apart) tsmbr_resource resource_;
    resource_of<c_call> as_pmr_{c_call{&resource_}};
};

using tsmbr_default = tsmbr_plain<0>;
using tsmbr_shared_only = tsmbr_plain<TSMBR_SHARED_ONLY>;

// One for each thread: what sharing costs is what tsmbr_allocate takes longer.
class tsmbr_private : public nothing_owed
{
public:
    static constexpr const char *name = "tsmbr_private";
    static constexpr bool shared = false;
    explicit tsmbr_private(const environment &e)
    {
        for (unsigned thread = 0; thread < e.threads; ++thread) {
            const part p = part_of(e, thread);
            tsmbr_config config = {};
            config.buffer = p.begin;
            config.buffer_size = p.bytes;
            if (tsmbr_init(&seats_.emplace_back().resource, &config) != 0)
                std::abort();
        }
    }
    tsmbr_private(const tsmbr_private &) = delete;
    tsmbr_private &operator=(const tsmbr_private &) = delete;
    ~tsmbr_private()
    {
        for (seat &s : seats_)
            tsmbr_destroy(&s.resource);
    }

    auto allocator(unsigned thread) { return c_call{&seats_[thread].resource}; }
    void reset()
    {
        for (seat &s : seats_)
            tsmbr_reset(&s.resource, SIZE_MAX);
    }
    std::pmr::memory_resource *resource(unsigned thread) { return any(&seats_[thread].as_pmr); }

private:
    struct alignas(apart) seat {
        tsmbr_resource resource;
        resource_of<c_call> as_pmr{c_call{&resource}};
    };
    std::deque<seat> seats_;
};

// The same as a drop-in for std::pmr, over its default upstream, or over the C resource's.
template <bool OverSystem>
class tsmbr_pmr : public nothing_owed
{
public:
    static constexpr const char *name = OverSystem ? "tsmbr_pmr_system" : "tsmbr_pmr_adapter";
    static constexpr bool shared = true;
    explicit tsmbr_pmr(const environment &e)
    {
        if (e.own_memory) {
            tsmbr::options wanted;
            wanted.initial_size = e.told ? e.round_bytes + e.round_bytes / 8 : 0;
            resource_.emplace(wanted, OverSystem ? tsmbr::system_memory() : nullptr);
            return;
        }
        resource_.emplace(e.round_bytes + e.round_bytes / 8, &memory_);
        (void)resource_->allocate(1);
        reset();
    }
    auto allocator(unsigned)
    {
        return [resource = any(&*resource_)](std::size_t bytes, std::size_t alignment) {
            return resource->allocate(bytes, alignment);
        };
    }
    void reset() { resource_->reset(); }
    std::pmr::memory_resource *resource(unsigned) { return any(&*resource_); }
    tsmbr::thread_safe_monotonic_buffer_resource &native() { return *resource_; }

private:
    region_upstream memory_;
    alignas(apart) std::optional<tsmbr::thread_safe_monotonic_buffer_resource> resource_;
};

using tsmbr_adapter = tsmbr_pmr<false>;
using tsmbr_adapter_over_system = tsmbr_pmr<true>;

// One resource, and in each thread an explicit lane on it, open for a round.
class tsmbr_lanes
{
public:
    static constexpr const char *name = "tsmbr_lane";
    static constexpr bool shared = false;
    static constexpr bool frees_each = false;
    explicit tsmbr_lanes(const environment &e) : common_(e)
    {
        for (unsigned thread = 0; thread < e.threads; ++thread)
            seats_.emplace_back();
        open_all();
    }
    ~tsmbr_lanes()
    {
        for (seat &s : seats_)
            tsmbr_lane_close(&s.lane);
    }
    tsmbr_lanes(const tsmbr_lanes &) = delete;
    tsmbr_lanes &operator=(const tsmbr_lanes &) = delete;

    auto allocator(unsigned thread)
    {
        return [lane = &seats_[thread].lane](std::size_t bytes, std::size_t alignment) {
            return tsmbr_lane_allocate(lane, bytes, alignment);
        };
    }
    void finish(unsigned thread) { tsmbr_lane_close(&seats_[thread].lane); }
    void reset()
    {
        common_.reset();
        open_all();
    }
    std::pmr::memory_resource *resource(unsigned thread) { return any(&seats_[thread].as_pmr); }

private:
    struct call {
        tsmbr_lane *lane;
        void *operator()(std::size_t bytes, std::size_t alignment) const
        {
            return tsmbr_lane_allocate(lane, bytes, alignment);
        }
    };
    struct alignas(apart) seat {
        tsmbr_lane lane;
        resource_of<call> as_pmr{call{&lane}};
    };
    void open_all()
    {
        for (seat &s : seats_)
            tsmbr_lane_open(&s.lane, common_.native());
    }

    tsmbr_default common_;
    std::deque<seat> seats_;
};

// The same as memory resources.
class tsmbr_lane_resources
{
public:
    static constexpr const char *name = "tsmbr_lane_resource";
    static constexpr bool shared = false;
    static constexpr bool frees_each = false;
    explicit tsmbr_lane_resources(const environment &e) : common_(e)
    {
        for (unsigned thread = 0; thread < e.threads; ++thread)
            seats_.emplace_back(common_.native());
    }
    auto allocator(unsigned thread)
    {
        return [resource = any(&seats_[thread].lane)](std::size_t bytes, std::size_t alignment) {
            return resource->allocate(bytes, alignment);
        };
    }
    void finish(unsigned) {}
    void reset()
    {
        for (seat &s : seats_)
            s.lane.forget();
        common_.reset();
    }
    std::pmr::memory_resource *resource(unsigned thread) { return any(&seats_[thread].lane); }

private:
    struct alignas(apart) seat {
        explicit seat(tsmbr::thread_safe_monotonic_buffer_resource &common) : lane(common) {}
        tsmbr::lane_resource lane;
    };
    tsmbr_adapter common_;
    std::deque<seat> seats_;
};

// --------------------------------------------------------------------------- standard library --

// One arena for each thread, no sharing: who picks this glues the results together by hand.
class pmr_private : public nothing_owed
{
public:
    static constexpr const char *name = "pmr_private";
    static constexpr bool shared = false;
    explicit pmr_private(const environment &e)
    {
        for (unsigned thread = 0; thread < e.threads; ++thread) {
            seat &s = seats_.emplace_back();
            if (e.told) {
                s.resource.emplace(e.round_bytes / e.threads + e.round_bytes / e.threads / 8);
            } else if (e.own_memory) {
                s.resource.emplace();
            } else {
                const part p = part_of(e, thread);
                s.resource.emplace(p.begin, p.bytes);
            }
        }
    }
    auto allocator(unsigned thread)
    {
        return [resource = any(&*seats_[thread].resource)](std::size_t bytes, std::size_t alignment) {
            return resource->allocate(bytes, alignment);
        };
    }
    void reset()
    {
        for (seat &s : seats_)
            s.resource->release(); // back to the start of the buffer
    }
    std::pmr::memory_resource *resource(unsigned thread) { return any(&*seats_[thread].resource); }

private:
    struct alignas(apart) seat {
        std::optional<std::pmr::monotonic_buffer_resource> resource;
    };
    std::deque<seat> seats_; // a resource cannot be moved
};

// A resource that is not for threads, behind a mutex. Base is the memory_resource of its library.
template <class Resource, class Base>
class behind_mutex : public nothing_owed
{
public:
    static constexpr bool shared = true;
    explicit behind_mutex(const environment &e) : buffer_(e.own_memory ? nullptr : region()) { make(); }
    auto allocator(unsigned)
    {
        return [this](std::size_t bytes, std::size_t alignment) { return allocate(bytes, alignment); };
    }
    // Made anew: boost's does not go back to its buffer in all versions, and it costs no more.
    void reset() { make(); }
    std::pmr::memory_resource *resource(unsigned) { return any(&as_pmr_); }

private:
    struct call {
        behind_mutex *self;
        void *operator()(std::size_t bytes, std::size_t alignment) const
        {
            return self->allocate(bytes, alignment);
        }
    };
    void *allocate(std::size_t bytes, std::size_t alignment)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return hidden_->allocate(bytes, alignment);
    }
    void make()
    {
        if (buffer_ == nullptr)
            resource_.emplace();
        else
            resource_.emplace(buffer_, region_bytes);
        hidden_ = any<Base>(&*resource_);
    }

    unsigned char *buffer_;
    alignas(apart) std::mutex mutex_; // the resource's words on its line: who has the one has the other
    std::optional<Resource> resource_;
    Base *hidden_ = nullptr;
    resource_of<call> as_pmr_{call{this}};
};

class pmr_mutex : public behind_mutex<std::pmr::monotonic_buffer_resource, std::pmr::memory_resource>
{
public:
    static constexpr const char *name = "pmr_mutex";
    using behind_mutex::behind_mutex;
};

// The standard's own answer to threads. Blocks are not returned one by one here: release is cheaper.
class pmr_sync_pool : public nothing_owed
{
public:
    static constexpr const char *name = "pmr_sync_pool";
    static constexpr bool shared = true;
    explicit pmr_sync_pool(const environment &e)
    {
        if (e.own_memory)
            resource_.emplace();
        else
            resource_.emplace(&memory_);
    }
    auto allocator(unsigned)
    {
        return [resource = any(&*resource_)](std::size_t bytes, std::size_t alignment) {
            return resource->allocate(bytes, alignment);
        };
    }
    void reset()
    {
        resource_->release();
        memory_.rewind();
    }
    std::pmr::memory_resource *resource(unsigned) { return any(&*resource_); }

private:
    region_upstream memory_;
    alignas(apart) std::optional<std::pmr::synchronized_pool_resource> resource_;
};

} // namespace bench

#endif
