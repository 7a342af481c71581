// What the tests of the C++ header share: checked blocks, an upstream that keeps account, random scripts,
// threads that start together. Tests stand in cxx_<topic>.cpp.

#ifndef CXX_SUPPORT_HPP
#define CXX_SUPPORT_HPP

#include "sanitizers.h"
#include "thread_safe_monotonic_buffer.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory_resource>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace cxx_support
{

using pool_type = tsmbr::thread_safe_monotonic_buffer_resource;

inline constexpr std::size_t size_most = static_cast<std::size_t>(-1);
inline constexpr std::size_t object_most = static_cast<std::size_t>(PTRDIFF_MAX);
inline constexpr std::size_t thread_count = 8;

// ----------------------------------------------------------------------------------- addresses --

// The same value, of which the compiler knows nothing: no warning about a size it can tell is too large.
template <class T>
T hide(T value)
{
    volatile T copy = value;
    return copy;
}

inline std::uintptr_t address(const void *ptr)
{
    return reinterpret_cast<std::uintptr_t>(ptr);
}

// How far ptr is from a multiple of alignment. Hidden, as the standard library's headers let the compiler
// assume that allocate returns aligned memory.
inline std::size_t misalignment(const void *ptr, std::size_t alignment)
{
    return hide(address(ptr)) % alignment;
}

inline unsigned char *bytes_of(void *ptr)
{
    return static_cast<unsigned char *>(ptr);
}

inline bool inside(const void *ptr, const void *begin, std::size_t size)
{
    return address(ptr) >= address(begin) && address(ptr) - address(begin) < size;
}

// -------------------------------------------------------------------------- chance and threads --

// Random numbers (splitmix64) from the seed of this run, TSMBR_SEED or the clock, which is printed once; one
// stream for each thread.
class dice
{
public:
    explicit dice(std::uint64_t stream);

    std::size_t below(std::size_t bound);

    // 1 << 0 .. 1 << largest_power
    std::size_t alignment(std::size_t largest_power) { return std::size_t{1} << below(largest_power + 1); }

private:
    std::uint64_t state_;
};

// work(index) on `count` threads that start together.
void on_threads(std::size_t count, const std::function<void(std::size_t)> &work);

// -------------------------------------------------------------------------------------- blocks --

// A block and the pattern it was filled with.
struct block {
    unsigned char *ptr;
    std::size_t bytes;
    std::uint64_t pattern;
};

void fill(const block &b);
bool intact(const block &b);

// An allocated, checked and filled block.
block take(std::pmr::memory_resource &from, std::size_t bytes, std::size_t alignment, std::uint64_t pattern = 0);

void expect_intact(const std::vector<block> &blocks);
void expect_apart_and_intact(const std::vector<std::vector<block>> &all);

// ---------------------------------------------------------------------------------- exceptions --

// What failing upstreams throw: not a std::exception, with something on the heap to lose, and knowing where
// it was made, so that a copy can be told from the object that was thrown.
struct refusal {
    explicit refusal(std::size_t refused_call);

    std::size_t call;
    std::thread::id thread;
    std::string text;
    const refusal *born;
};

// The call whose refusal arrived, or 0 after reporting why none did.
std::size_t refused_call(const std::function<void()> &act);

// std::bad_alloc itself and nothing derived from it.
void expect_plain_bad_alloc(const std::function<void()> &act);

// ----------------------------------------------------------------------------------- upstreams --

// An upstream that keeps account of every block: a return must name one that is out, with its size and
// alignment, once; at the end none may be out. Bytes around a block are guarded, those in it are overwritten
// when it is granted and when it comes back.
class checking_upstream : public std::pmr::memory_resource
{
public:
    struct request {
        std::size_t bytes;
        std::size_t alignment;
    };

    // Called with the number of the call, counted from 1, and its size; may throw.
    using policy = std::function<void(std::size_t call, std::size_t bytes)>;

    // Grants memory `offset` bytes past a multiple of the alignment asked.
    explicit checking_upstream(std::size_t offset = 0);
    checking_upstream(const checking_upstream &) = delete;
    checking_upstream &operator=(const checking_upstream &) = delete;
    ~checking_upstream() override;

    void set_policy(policy wanted);

    std::vector<request> requests() const; // refused ones included
    std::vector<std::size_t> sizes() const;
    std::size_t calls() const;
    std::size_t grants() const;
    std::size_t returns() const;
    std::size_t held() const;
    std::size_t most_held() const;

private:
    struct grant {
        unsigned char *raw;
        std::size_t raw_alignment;
        std::size_t bytes;
        std::size_t alignment;
    };

    void *do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override;
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    template <class T>
    T locked(const T &value) const;

    const std::size_t offset_;
    mutable std::mutex mutex_;
    policy policy_;
    std::map<void *, grant> out_;
    std::vector<request> requests_;
    std::size_t grants_ = 0;
    std::size_t returns_ = 0;
    std::size_t held_ = 0;
    std::size_t most_held_ = 0;
};

// A policy: every call is refused.
void refuse(std::size_t call, std::size_t bytes);

// A policy: calls for more than so many bytes are refused.
checking_upstream::policy refuse_above(std::size_t most_bytes);

// What the resource says of itself agrees with what its upstream knows. At rest only.
void expect_accounts_agree(const pool_type &pool, const checking_upstream &upstream);

// Offsets from the alignment asked at which upstreams grant memory in the tests. A pmr resource must not do
// so, and clang's sanitizer says so where it is called; C upstreams and faulty resources may.
#if UNDER_UBSAN
inline constexpr std::array<std::size_t, 2> upstream_offsets = {0, 16};
#else
inline constexpr std::array<std::size_t, 7> upstream_offsets = {0, 1, 2, 8, 15, 17, 63};
#endif

// Makes a resource the default one for as long as it lives.
class default_resource_guard
{
public:
    explicit default_resource_guard(std::pmr::memory_resource *wanted)
        : before_(std::pmr::set_default_resource(wanted))
    {
    }
    default_resource_guard(const default_resource_guard &) = delete;
    default_resource_guard &operator=(const default_resource_guard &) = delete;
    ~default_resource_guard() { std::pmr::set_default_resource(before_); }

private:
    std::pmr::memory_resource *before_;
};

// ------------------------------------------------------------------------------------- scripts --

// A sequence of requests, for lives that must resemble each other.
using script = std::vector<checking_upstream::request>;

script random_script(std::size_t length, std::size_t most_bytes, std::uint64_t stream);
std::vector<block> play(std::pmr::memory_resource &on, const script &wanted);

} // namespace cxx_support

#endif
