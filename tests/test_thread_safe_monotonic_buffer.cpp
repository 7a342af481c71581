// The C++ header: construction, the pmr contract, exceptions, the library working group's issues, standard
// containers and resources around it, and threads. What the C core promises by itself is tested in C.

#include "thread_safe_monotonic_buffer.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace
{

using pool_type = tsmbr::thread_safe_monotonic_buffer_resource;

constexpr std::size_t size_most = static_cast<std::size_t>(-1);
constexpr std::size_t object_most = static_cast<std::size_t>(PTRDIFF_MAX);
constexpr std::size_t max_alignment = alignof(std::max_align_t);
constexpr std::size_t thread_count = 8;

// ------------------------------------------------------------------------------- small helpers --

// The same value, of which the compiler knows nothing: no warning about a size it can tell is too large.
template <class T>
T hide(T value)
{
    volatile T copy = value;
    return copy;
}

std::uintptr_t address(const void *ptr)
{
    return reinterpret_cast<std::uintptr_t>(ptr);
}

// How far ptr is from a multiple of alignment. Hidden, as the standard library's headers let the compiler
// assume that allocate returns aligned memory.
std::size_t misalignment(const void *ptr, std::size_t alignment)
{
    return hide(address(ptr)) % alignment;
}

unsigned char *bytes_of(void *ptr)
{
    return static_cast<unsigned char *>(ptr);
}

bool inside(const void *ptr, const void *begin, std::size_t size)
{
    return address(ptr) >= address(begin) && address(ptr) - address(begin) < size;
}

// The seed of this run: TSMBR_SEED, or the clock. Printed once.
std::uint64_t run_seed()
{
    static const std::uint64_t seed = [] {
        const char *const given = std::getenv("TSMBR_SEED");
        const std::uint64_t s =
            given != nullptr ? std::strtoull(given, nullptr, 0) : static_cast<std::uint64_t>(std::time(nullptr));
        std::printf("seed %llu: repeat with TSMBR_SEED=%llu\n", static_cast<unsigned long long>(s),
                    static_cast<unsigned long long>(s));
        return s;
    }();
    return seed;
}

// Random numbers (splitmix64); one stream for each thread.
class dice
{
public:
    explicit dice(std::uint64_t stream) : state_(run_seed() * 0x9e3779b97f4a7c15u + stream) {}

    std::size_t below(std::size_t bound)
    {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return static_cast<std::size_t>((z ^ (z >> 31)) % bound);
    }

    // 1 << 0 .. 1 << largest_power
    std::size_t alignment(std::size_t largest_power) { return std::size_t{1} << below(largest_power + 1); }

private:
    std::uint64_t state_;
};

// work(index) on `count` threads that start together.
template <class Work>
void on_threads(std::size_t count, Work work)
{
    std::atomic<std::size_t> missing{count};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i)
        threads.emplace_back([&missing, &work, i] {
            missing.fetch_sub(1);
            while (missing.load() != 0)
                std::this_thread::yield();
            try {
                work(i);
            } catch (...) {
                ADD_FAILURE() << "an exception left thread " << i;
            }
        });
    for (std::thread &t : threads)
        t.join();
}

// -------------------------------------------------------------------------------------- blocks --

// A block and the pattern it was filled with.
struct block {
    unsigned char *ptr;
    std::size_t bytes;
    std::uint64_t pattern;
};

unsigned char pattern_byte(std::uint64_t pattern, std::size_t i)
{
    return static_cast<unsigned char>((pattern + i * 31) & 0xff);
}

void fill(const block &b)
{
    for (std::size_t i = 0; i < b.bytes; ++i)
        b.ptr[i] = pattern_byte(b.pattern, i);
}

bool intact(const block &b)
{
    for (std::size_t i = 0; i < b.bytes; ++i)
        if (b.ptr[i] != pattern_byte(b.pattern, i))
            return false;
    return true;
}

// An allocated, checked and filled block.
block take(std::pmr::memory_resource &from, std::size_t bytes, std::size_t alignment, std::uint64_t pattern = 0)
{
    const block b{bytes_of(from.allocate(bytes, alignment)), bytes, pattern};
    EXPECT_NE(b.ptr, hide<unsigned char *>(nullptr));
    EXPECT_EQ(misalignment(b.ptr, alignment), 0u) << bytes << " bytes at " << alignment;
    fill(b);
    return b;
}

void expect_disjoint(std::vector<block> blocks)
{
    std::sort(blocks.begin(), blocks.end(),
              [](const block &a, const block &b) { return address(a.ptr) < address(b.ptr); });
    std::size_t overlaps = 0;
    for (std::size_t i = 1; i < blocks.size(); ++i)
        if (address(blocks[i].ptr) - address(blocks[i - 1].ptr) < std::max<std::size_t>(blocks[i - 1].bytes, 1))
            ++overlaps;
    EXPECT_EQ(overlaps, 0u);
}

void expect_intact(const std::vector<block> &blocks)
{
    const auto changed = std::count_if(blocks.begin(), blocks.end(), [](const block &b) { return !intact(b); });
    EXPECT_EQ(changed, 0);
}

void expect_apart_and_intact(const std::vector<std::vector<block>> &all)
{
    std::vector<block> together;
    for (const std::vector<block> &some : all)
        together.insert(together.end(), some.begin(), some.end());
    expect_disjoint(together);
    expect_intact(together);
}

// ---------------------------------------------------------------------------- failing upstreams --

// What failing upstreams throw: not a std::exception, with something on the heap to lose, and knowing where
// it was made, so that a copy can be told from the object that was thrown.
struct refusal {
    explicit refusal(std::size_t refused_call)
        : call(refused_call), thread(std::this_thread::get_id()),
          text("the upstream refused call number " + std::to_string(refused_call)), born(this)
    {
    }

    std::size_t call;
    std::thread::id thread;
    std::string text;
    const refusal *born;
};

// The call whose refusal arrived, or 0 after reporting why none did.
template <class Act>
std::size_t refused_call(Act act)
{
    try {
        act();
        ADD_FAILURE() << "nothing was thrown";
    } catch (const refusal &caught) {
        EXPECT_EQ(&caught, caught.born) << "a copy, not the object that was thrown";
        EXPECT_EQ(caught.thread, std::this_thread::get_id());
        EXPECT_EQ(caught.text, "the upstream refused call number " + std::to_string(caught.call));
        return caught.call;
    } catch (...) {
        ADD_FAILURE() << "another exception was thrown";
    }
    return 0;
}

// std::bad_alloc itself and nothing derived from it.
template <class Act>
void expect_plain_bad_alloc(Act act)
{
    try {
        act();
        ADD_FAILURE() << "nothing was thrown";
    } catch (const std::bad_alloc &caught) {
        EXPECT_EQ(typeid(caught), typeid(std::bad_alloc));
    } catch (...) {
        ADD_FAILURE() << "another exception was thrown";
    }
}

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
    explicit checking_upstream(std::size_t offset = 0) : offset_(offset) {}
    checking_upstream(const checking_upstream &) = delete;
    checking_upstream &operator=(const checking_upstream &) = delete;

    ~checking_upstream() override
    {
        EXPECT_EQ(out_.size(), 0u) << "blocks never came back to the upstream";
        for (const auto &leaked : out_)
            ::operator delete (leaked.second.raw, std::align_val_t{leaked.second.raw_alignment});
    }

    void set_policy(policy wanted)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        policy_ = std::move(wanted);
    }

    std::vector<request> requests() const { return locked(requests_); } // refused ones included
    std::size_t calls() const { return requests().size(); }
    std::size_t grants() const { return locked(grants_); }
    std::size_t returns() const { return locked(returns_); }
    std::size_t held() const { return locked(held_); }
    std::size_t most_held() const { return locked(most_held_); }

    std::vector<std::size_t> sizes() const
    {
        std::vector<std::size_t> all;
        for (const request &r : requests())
            all.push_back(r.bytes);
        return all;
    }

private:
    struct grant {
        unsigned char *raw;
        std::size_t raw_alignment;
        std::size_t bytes;
        std::size_t alignment;
    };

    static constexpr std::size_t guard = 32;
    static constexpr std::size_t line = 64;    // one place on a line for all, so that equal lives go alike
    static constexpr std::size_t edge = 65536; // bytes overwritten at either end of a large block
    static constexpr std::size_t largest = std::size_t{1} << 28;

    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back({bytes, alignment});
        if (policy_)
            policy_(requests_.size(), bytes);
        if (bytes > largest || alignment > largest)
            throw refusal(requests_.size());
        const std::size_t raw_alignment = std::max(alignment, line);
        const std::size_t before = raw_alignment + offset_;
        unsigned char *const raw =
            bytes_of(::operator new (before + bytes + guard, std::align_val_t{raw_alignment}));
        unsigned char *const ptr = raw + before;
        std::memset(ptr - guard, 0xfd, guard);
        std::memset(ptr + bytes, 0xfd, guard);
        overwrite(ptr, bytes, 0xcd);
        out_.emplace(ptr, grant{raw, raw_alignment, bytes, alignment});
        ++grants_;
        held_ += bytes;
        most_held_ = std::max(most_held_, held_);
        return ptr;
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = out_.find(ptr);
        if (found == out_.end()) {
            ADD_FAILURE() << "a return of what is not out: " << ptr;
            return;
        }
        const grant g = found->second;
        EXPECT_EQ(bytes, g.bytes);
        EXPECT_EQ(alignment, g.alignment);
        EXPECT_TRUE(guarded(bytes_of(ptr) - guard) && guarded(bytes_of(ptr) + g.bytes)) << "written past the end";
        overwrite(bytes_of(ptr), g.bytes, 0xdd);
        out_.erase(found);
        ++returns_;
        held_ -= g.bytes;
        ::operator delete (g.raw, std::align_val_t{g.raw_alignment});
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    static bool guarded(const unsigned char *ptr)
    {
        return std::all_of(ptr, ptr + guard, [](unsigned char byte) { return byte == 0xfd; });
    }

    static void overwrite(unsigned char *ptr, std::size_t bytes, int value)
    {
        const std::size_t count = std::min(bytes, edge);
        std::memset(ptr, value, count);
        std::memset(ptr + (bytes - count), value, count);
    }

    template <class T>
    T locked(const T &value) const
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return value;
    }

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

// Offsets from the alignment asked at which upstreams grant memory in the tests. A pmr resource must not do
// so, and clang's sanitizer says so where it is called; C upstreams and faulty resources may.
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
#define UPSTREAMS_ARE_CHECKED
#endif
#endif
#if defined(UPSTREAMS_ARE_CHECKED)
constexpr std::array<std::size_t, 2> upstream_offsets = {0, 16};
#else
constexpr std::array<std::size_t, 7> upstream_offsets = {0, 1, 2, 8, 15, 17, 63};
#endif

// Lets the threads that arrive go on together, eight at a time. Who waits too long goes on alone: a test over
// it is weaker then, but does not hang.
class rendezvous
{
public:
    void arrive()
    {
        const std::size_t mine = arrived_.fetch_add(1);
        const std::size_t together = (mine / thread_count + 1) * thread_count;
        for (int patience = 0; arrived_.load() < together && patience < 200; ++patience)
            std::this_thread::yield();
    }

private:
    std::atomic<std::size_t> arrived_{0};
};

// An upstream whose grants arrive together.
class gathering_upstream : public std::pmr::memory_resource
{
public:
    checking_upstream granted;

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        void *const ptr = granted.allocate(bytes, alignment);
        meeting_.arrive();
        return ptr;
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override
    {
        granted.deallocate(ptr, bytes, alignment);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    rendezvous meeting_;
};

// An upstream that refuses every request, in all threads at once: it has no lock.
class refusing_upstream : public std::pmr::memory_resource
{
    void *do_allocate(std::size_t, std::size_t) override { throw refusal(1); }
    void do_deallocate(void *, std::size_t, std::size_t) override { ADD_FAILURE() << "nothing was granted"; }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }
};

// A policy: every call is refused.
void refuse(std::size_t call, std::size_t)
{
    throw refusal(call);
}

// What the resource says of itself agrees with what its upstream knows. At rest only.
void expect_accounts_agree(const pool_type &pool, const checking_upstream &upstream)
{
    const tsmbr::statistics s = pool.get_statistics();
    EXPECT_EQ(s.reserved_bytes, upstream.held());
    EXPECT_EQ(s.chunks, upstream.grants() - upstream.returns());
    EXPECT_GE(s.peak_reserved_bytes, s.reserved_bytes);
}

// ------------------------------------------------------------------------------------ scripts --

// A sequence of requests, for lives that must resemble each other.
using script = std::vector<checking_upstream::request>;

script random_script(std::size_t length, std::size_t most_bytes, std::uint64_t stream)
{
    dice d(stream);
    script s;
    for (std::size_t i = 0; i < length; ++i)
        s.push_back({d.below(most_bytes + 1), d.alignment(6)});
    return s;
}

std::vector<block> play(std::pmr::memory_resource &on, const script &wanted)
{
    std::vector<block> blocks;
    for (const checking_upstream::request &r : wanted)
        blocks.push_back(take(on, r.bytes, r.alignment, blocks.size()));
    return blocks;
}

// ------------------------------------------------------------------------------- construction --

static_assert(std::is_base_of<std::pmr::memory_resource, pool_type>::value, "a pmr resource");
static_assert(!std::is_copy_constructible<pool_type>::value, "not copyable");
static_assert(!std::is_copy_assignable<pool_type>::value, "not copyable");
static_assert(!std::is_move_constructible<pool_type>::value, "not movable");
static_assert(!std::is_move_assignable<pool_type>::value, "not movable");
static_assert(std::is_default_constructible<pool_type>::value, "seed");
static_assert(std::is_constructible<pool_type, std::pmr::memory_resource *>::value, "seed");
static_assert(std::is_constructible<pool_type, std::size_t, std::pmr::memory_resource *>::value, "seed");
static_assert(std::is_constructible<pool_type, void *, std::size_t, std::pmr::memory_resource *>::value, "seed");
static_assert(std::is_constructible<pool_type, std::size_t>::value, "as std");
static_assert(std::is_constructible<pool_type, void *, std::size_t>::value, "as std");
static_assert(std::is_constructible<pool_type, tsmbr::options, std::pmr::memory_resource *>::value, "ours");
static_assert(std::is_constructible<pool_type, tsmbr::options>::value, "ours");
static_assert(!std::is_convertible<std::pmr::memory_resource *, pool_type>::value, "explicit");
static_assert(!std::is_convertible<std::size_t, pool_type>::value, "explicit");
static_assert(!std::is_convertible<tsmbr::options, pool_type>::value, "explicit");
static_assert(noexcept(std::declval<pool_type &>().release()), "release does not throw");
static_assert(noexcept(std::declval<pool_type &>().reset()), "reset does not throw");
static_assert(noexcept(std::declval<const pool_type &>().upstream_resource()), "upstream_resource neither");

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

template <class... Arguments>
void expect_upstream(std::pmr::memory_resource *expected, Arguments &&...arguments)
{
    const pool_type pool(std::forward<Arguments>(arguments)...);
    EXPECT_EQ(pool.upstream_resource(), expected);
}

TEST(construction, keeps_the_upstream_given)
{
    checking_upstream up;
    std::array<unsigned char, 64> buffer;
    tsmbr::options wanted;
    wanted.initial_size = 100;
    expect_upstream(&up, &up);
    expect_upstream(&up, std::size_t{1000}, &up);
    expect_upstream(&up, buffer.data(), buffer.size(), &up);
    expect_upstream(&up, wanted, &up);
    EXPECT_EQ(up.calls(), 0u);
}

TEST(construction, without_an_upstream_takes_the_default_resource)
{
    checking_upstream up;
    std::array<unsigned char, 64> buffer;
    const default_resource_guard guard(&up);
    expect_upstream(&up);
    expect_upstream(&up, static_cast<std::pmr::memory_resource *>(nullptr));
    expect_upstream(&up, std::size_t{1000});
    expect_upstream(&up, std::size_t{1000}, nullptr);
    expect_upstream(&up, buffer.data(), buffer.size());
    expect_upstream(&up, buffer.data(), buffer.size(), nullptr);
    expect_upstream(&up, tsmbr::options{});
    expect_upstream(&up, tsmbr::options{}, nullptr);
    EXPECT_EQ(up.calls(), 0u);
}

TEST(construction, reads_the_default_resource_once)
{
    checking_upstream first;
    checking_upstream second;
    std::unique_ptr<pool_type> pool;
    {
        const default_resource_guard guard(&first);
        pool = std::make_unique<pool_type>();
    }
    const default_resource_guard guard(&second);
    take(*pool, 100, 8);
    EXPECT_EQ(pool->upstream_resource(), &first);
    EXPECT_EQ(first.grants(), 1u);
    pool->release();
    EXPECT_EQ(first.returns(), 1u);
    EXPECT_EQ(second.calls(), 0u);
}

TEST(construction, asks_for_nothing_and_an_unused_resource_returns_nothing)
{
    checking_upstream up;
    {
        pool_type pool(std::size_t{1} << 20, &up);
        pool.release();
        pool.reset();
        EXPECT_EQ(pool.get_statistics().reserved_bytes, 0u);
    }
    EXPECT_EQ(up.calls(), 0u);
    EXPECT_EQ(up.returns(), 0u);
}

TEST(construction, options_are_heeded)
{
    checking_upstream up;
    alignas(16) std::array<unsigned char, 128> buffer;
    tsmbr::options wanted;
    wanted.initial_size = 10000;
    wanted.buffer = buffer.data();
    wanted.buffer_size = buffer.size();
    wanted.limit = 20000;
    wanted.flags = TSMBR_SHARED_ONLY;
    pool_type pool(wanted, &up);

    EXPECT_TRUE(inside(take(pool, 128, 1).ptr, buffer.data(), buffer.size()));
    EXPECT_EQ(up.calls(), 0u);
    take(pool, 1, 1);
    ASSERT_EQ(up.calls(), 1u);
    EXPECT_GE(up.sizes()[0], 10000u);
    expect_plain_bad_alloc([&] { (void)pool.allocate(20000, 1); });
}

TEST(construction, options_that_make_no_sense_throw_bad_alloc)
{
    tsmbr::options no_buffer;
    no_buffer.buffer_size = 1;
    tsmbr::options unknown_flag;
    unknown_flag.flags = 1u << 31;
    std::array<unsigned char, 16> buffer;
    tsmbr::options past_the_end;
    past_the_end.buffer = buffer.data();
    past_the_end.buffer_size = size_most;
    for (const tsmbr::options &wanted : {no_buffer, unknown_flag, past_the_end})
        expect_plain_bad_alloc([&] { const pool_type pool(wanted); });
    expect_plain_bad_alloc([&] { const pool_type pool(nullptr, 1); });
}

TEST(construction, a_resource_equals_itself_alone)
{
    checking_upstream up;
    pool_type one(&up);
    pool_type other(&up);
    std::pmr::memory_resource &base = one;
    EXPECT_TRUE(one.is_equal(one));
    EXPECT_TRUE(base == one);
    EXPECT_FALSE(one.is_equal(other));
    EXPECT_FALSE(base == other);
    EXPECT_FALSE(one.is_equal(up));
    EXPECT_FALSE(up.is_equal(one));
}

TEST(construction, destruction_returns_everything)
{
    checking_upstream up;
    {
        pool_type pool(&up);
        play(pool, random_script(200, 4000, 1));
        EXPECT_GT(up.held(), 0u);
    }
    EXPECT_EQ(up.held(), 0u);
    EXPECT_EQ(up.returns(), up.grants());
}

// ----------------------------------------------------------------------------- caller's buffer --

TEST(buffer, is_served_to_the_last_byte_before_the_upstream_is_asked)
{
    std::array<unsigned char, 300> buffer;
    for (std::size_t offset = 0; offset < 17; ++offset) {
        checking_upstream up;
        const std::size_t size = buffer.size() - offset;
        pool_type pool(buffer.data() + offset, size, &up);
        for (std::size_t i = 0; i < size; ++i)
            ASSERT_EQ(take(pool, 1, 1).ptr, buffer.data() + offset + i);
        EXPECT_EQ(up.calls(), 0u);
        EXPECT_FALSE(inside(take(pool, 1, 1).ptr, buffer.data(), buffer.size()));
        EXPECT_EQ(up.calls(), 1u);
    }
}

// Only where the optimizer sees through allocate can it be told, wrongly, that a block is memory of its own.
TEST(buffer, blocks_are_known_to_be_in_it)
{
    std::array<unsigned char, 64> buffer;
    pool_type pool(buffer.data(), buffer.size(), std::pmr::null_memory_resource());
    unsigned char *block = bytes_of(pool.allocate(32, 1));
    bool same = block == buffer.data();
    buffer[5] = 1;
    block[5] = 2;
    int read = buffer[5];
    EXPECT_TRUE(same) << "by the class";
    EXPECT_EQ(read, 2) << "by the class";

    block = bytes_of(tsmbr_allocate(pool.native_handle(), 32, 1));
    same = block == buffer.data() + 32;
    buffer[37] = 1;
    block[5] = 2;
    read = buffer[37];
    EXPECT_TRUE(same) << "by the C function";
    EXPECT_EQ(read, 2) << "by the C function";
}

TEST(buffer, is_served_whole_to_one_request)
{
    std::array<unsigned char, 257> buffer;
    checking_upstream up;
    pool_type pool(buffer.data() + 1, 256, &up);
    EXPECT_EQ(take(pool, 256, 1).ptr, buffer.data() + 1);
    EXPECT_EQ(up.calls(), 0u);
}

// Whether the next block of so many bytes fits, by counting alone; moves `next` behind it if it does.
bool fits(std::uintptr_t &next, std::uintptr_t end, std::size_t bytes, std::size_t alignment)
{
    const std::uintptr_t start = (next + alignment - 1) / alignment * alignment;
    if (start > end || end - start < bytes)
        return false;
    next = start + bytes;
    return true;
}

TEST(buffer, any_base_any_size_any_alignment_fits_exactly_what_fits)
{
    alignas(64) std::array<unsigned char, 512> buffer;
    dice d(2);
    for (std::size_t round = 0; round < 2000; ++round) {
        unsigned char *const base = buffer.data() + d.below(64);
        const std::size_t size = 1 + d.below(400);
        pool_type pool(base, size, std::pmr::null_memory_resource());
        std::uintptr_t next = address(base);
        std::vector<block> blocks;
        for (std::size_t i = 0; i < 20; ++i) {
            const std::size_t bytes = 1 + d.below(60);
            const std::size_t alignment = d.alignment(6);
            if (fits(next, address(base) + size, bytes, alignment)) {
                blocks.push_back(take(pool, bytes, alignment, i));
                ASSERT_EQ(address(blocks.back().ptr) + bytes, next);
            } else {
                ASSERT_THROW((void)pool.allocate(bytes, alignment), std::bad_alloc);
            }
        }
        expect_intact(blocks);
    }
}

TEST(buffer, of_one_byte)
{
    checking_upstream up;
    std::array<unsigned char, 3> buffer = {1, 2, 3};
    {
        pool_type pool(&buffer[1], 1, &up);
        unsigned char *const only = take(pool, 1, 1).ptr;
        EXPECT_EQ(only, &buffer[1]);
        *only = 9;
        EXPECT_EQ(up.calls(), 0u);
        EXPECT_FALSE(inside(take(pool, 1, 1).ptr, buffer.data(), buffer.size()));
        EXPECT_EQ(up.calls(), 1u);
    }
    EXPECT_EQ(buffer, (std::array<unsigned char, 3>{1, 9, 3}));
}

TEST(buffer, of_no_bytes_is_no_buffer)
{
    checking_upstream up;
    std::array<unsigned char, 1> buffer = {7};
    pool_type with_pointer(buffer.data(), 0, &up);
    EXPECT_NE(with_pointer.allocate(1, 1), buffer.data());
    pool_type without(nullptr, 0, &up);
    take(without, 100, 8);
    EXPECT_EQ(up.calls(), 2u);
    EXPECT_EQ(buffer[0], 7);
}

TEST(buffer, over_the_null_resource_is_all_there_is)
{
    alignas(16) std::array<unsigned char, 128> buffer;
    pool_type pool(buffer.data(), buffer.size(), std::pmr::null_memory_resource());
    const block kept = take(pool, 100, 1, 5);
    for (const std::size_t bytes : {std::size_t{29}, std::size_t{4096}, object_most, size_most})
        EXPECT_THROW((void)pool.allocate(hide(bytes), 1), std::bad_alloc);
    // A refused request takes nothing.
    EXPECT_EQ(take(pool, 28, 1).ptr, kept.ptr + 100);
    EXPECT_THROW((void)pool.allocate(0, 1), std::bad_alloc);
    EXPECT_TRUE(intact(kept));
}

TEST(buffer, a_large_request_leaves_its_room)
{
    alignas(16) std::array<unsigned char, 128> buffer;
    checking_upstream up;
    pool_type pool(buffer.data(), buffer.size(), &up);
    take(pool, 1 << 20, 8);
    EXPECT_EQ(up.calls(), 1u);
    EXPECT_EQ(take(pool, 128, 1).ptr, buffer.data());
    EXPECT_EQ(up.calls(), 1u);
}

// -------------------------------------------------------------------------------- initial size --

TEST(initial_size, is_served_in_one_piece_by_one_upstream_call)
{
    for (const std::size_t size : {1u, 2u, 63u, 64u, 1000u, 2048u, 4096u, 65537u, 1u << 20}) {
        for (const std::size_t offset : upstream_offsets) {
            checking_upstream up(offset);
            pool_type pool(size, &up);
            take(pool, size, 1);
            EXPECT_EQ(up.calls(), 1u) << size;
        }
    }
}

TEST(initial_size, is_served_in_pieces_by_one_upstream_call)
{
    dice d(3);
    for (const std::size_t size : {1u, 63u, 64u, 1000u, 4096u, 65537u}) {
        for (const std::size_t offset : upstream_offsets) {
            checking_upstream up(offset);
            pool_type pool(size, &up);
            std::size_t left = size;
            while (left != 0) {
                const std::size_t bytes = std::min(left, 1 + d.below(50));
                take(pool, bytes, 1);
                left -= bytes;
            }
            EXPECT_EQ(up.calls(), 1u) << size;
        }
    }
}

TEST(initial_size, is_not_overdone)
{
    for (const std::size_t size : {1u, 1000u, 65537u, 1u << 20}) {
        checking_upstream up;
        pool_type pool(size, &up);
        take(pool, 1, 1);
        EXPECT_LE(up.sizes().at(0), size + 4096) << size;
    }
}

TEST(initial_size, that_the_upstream_refuses_does_not_fail_the_request)
{
    for (const std::size_t size : {std::size_t{1} << 20, object_most, size_most}) {
        checking_upstream up;
        up.set_policy([](std::size_t call, std::size_t bytes) {
            if (bytes > 100000)
                throw refusal(call);
        });
        pool_type pool(size, &up);
        expect_intact({take(pool, 100, 8, 1), take(pool, 200, 64, 2)});
        expect_accounts_agree(pool, up);
    }
}

// ---------------------------------------------------------------------------------- exceptions --

TEST(exceptions, the_upstreams_own_object_arrives)
{
    checking_upstream up;
    up.set_policy(refuse);
    pool_type pool(&up);
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{1} << 20}) {
        const std::size_t arrived = refused_call([&] { (void)pool.allocate(bytes, 8); });
        EXPECT_EQ(arrived, up.calls()) << "not the exception of the call made last";
    }
    EXPECT_EQ(up.grants(), 0u);
}

TEST(exceptions, of_every_kind_arrive)
{
    struct derived : std::bad_alloc {
        const char *what() const noexcept override { return "derived"; }
    };
    checking_upstream up;
    pool_type pool(&up);
    up.set_policy([](std::size_t, std::size_t) { throw 42; });
    EXPECT_THROW((void)pool.allocate(1), int);
    up.set_policy([](std::size_t, std::size_t) { throw std::string(100, 'x'); });
    EXPECT_THROW((void)pool.allocate(1), std::string);
    up.set_policy([](std::size_t, std::size_t) { throw derived(); });
    EXPECT_THROW((void)pool.allocate(1), derived);
    up.set_policy(nullptr);
    take(pool, 1, 1);
}

TEST(exceptions, a_failed_request_changes_nothing)
{
    checking_upstream up;
    pool_type pool(&up);
    std::vector<block> blocks = play(pool, random_script(50, 300, 4));
    const tsmbr::statistics before = pool.get_statistics();
    up.set_policy(refuse);
    for (std::size_t i = 0; i < 20; ++i)
        refused_call([&] { (void)pool.allocate(100000, 16); });
    const tsmbr::statistics after = pool.get_statistics();
    EXPECT_EQ(after.allocated_bytes, before.allocated_bytes);
    EXPECT_EQ(after.reserved_bytes, before.reserved_bytes);
    EXPECT_EQ(after.chunks, before.chunks);
    expect_accounts_agree(pool, up);

    up.set_policy(nullptr);
    for (const block &b : play(pool, random_script(50, 300, 5)))
        blocks.push_back(b);
    expect_apart_and_intact({blocks});
}

TEST(exceptions, the_room_left_is_served_while_the_upstream_fails)
{
    checking_upstream up;
    pool_type pool(1000, &up);
    take(pool, 400, 1);
    up.set_policy(refuse);
    refused_call([&] { (void)pool.allocate(5000, 1); });
    take(pool, 600, 1);
    EXPECT_EQ(up.grants(), 1u);
}

TEST(exceptions, growth_refused_but_the_exact_size_granted_is_success)
{
    checking_upstream up;
    pool_type pool(65536, &up);
    up.set_policy([](std::size_t call, std::size_t bytes) {
        if (bytes > 1000)
            throw refusal(call);
    });
    std::vector<block> blocks;
    for (std::size_t i = 0; i < 50; ++i)
        blocks.push_back(take(pool, 100, 8, i));
    EXPECT_GT(up.calls(), up.grants()) << "the larger size was never tried";
    expect_apart_and_intact({blocks});
    expect_accounts_agree(pool, up);
}

TEST(exceptions, the_limit_throws_bad_alloc_and_is_never_passed)
{
    for (const std::size_t limit : {std::size_t{1}, std::size_t{500}, std::size_t{4096}, std::size_t{100000}}) {
        checking_upstream up;
        tsmbr::options wanted;
        wanted.limit = limit;
        pool_type pool(wanted, &up);
        for (int life = 0; life < 2; ++life) {
            std::size_t served = 0;
            expect_plain_bad_alloc([&] {
                for (; served < 2 * limit; served += 16)
                    take(pool, 16, 8);
            });
            EXPECT_LE(up.most_held(), limit);
            EXPECT_GE(served, limit / 2 < 500 ? 0 : limit / 2) << "the limit is not made use of";
            const std::size_t calls = up.calls();
            expect_plain_bad_alloc([&] { (void)pool.allocate(limit + 1, 1); });
            expect_plain_bad_alloc([&] { (void)pool.allocate(hide(size_most), 1); });
            EXPECT_EQ(up.calls(), calls) << "asked for more than the limit";
            pool.release();
        }
    }
}

TEST(exceptions, the_upstreams_own_arrives_under_a_limit_too)
{
    checking_upstream up;
    up.set_policy(refuse);
    tsmbr::options wanted;
    wanted.limit = 100000;
    pool_type pool(wanted, &up);
    refused_call([&] { (void)pool.allocate(100, 8); });
}

TEST(exceptions, a_bad_alignment_throws_bad_alloc_without_an_upstream_call)
{
    checking_upstream up;
    pool_type pool(&up);
    take(pool, 100, 8);
    for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{24}, size_most})
        expect_plain_bad_alloc([&] { (void)pool.allocate(8, hide(alignment)); });
    EXPECT_EQ(up.calls(), 1u);
}

// Plays the script over an upstream that fails as `fails` says, each request until it is served.
// Returns the number of upstream calls.
std::size_t play_over_failures(const script &wanted, const std::function<bool(std::size_t call)> &fails)
{
    checking_upstream up;
    up.set_policy([&](std::size_t call, std::size_t) {
        if (fails(call))
            throw refusal(call);
    });
    pool_type pool(&up);
    std::vector<block> blocks;
    for (std::size_t i = 0, refusals = 0; i < wanted.size() && refusals < 100;) {
        try {
            blocks.push_back(take(pool, wanted[i].bytes, wanted[i].alignment, i));
            ++i;
        } catch (const refusal &caught) {
            EXPECT_EQ(caught.call, up.calls());
            ++refusals;
        }
    }
    EXPECT_EQ(blocks.size(), wanted.size());
    expect_apart_and_intact({blocks});
    expect_accounts_agree(pool, up);
    pool.release();
    EXPECT_EQ(up.held(), 0u);
    return up.calls();
}

TEST(exceptions, failure_at_each_upstream_call_in_turn)
{
    const script wanted = random_script(60, 3000, 6);
    for (std::size_t k = 1;; ++k) {
        const std::size_t once = play_over_failures(wanted, [k](std::size_t call) { return call == k; });
        play_over_failures(wanted, [k](std::size_t call) { return call == k || call == k + 1; });
        if (once < k) {
            EXPECT_GT(k, 5u) << "the script hardly needs its upstream";
            break;
        }
    }
}

TEST(exceptions, each_reaches_the_thread_whose_call_failed)
{
    // A third of the upstream calls begin a failure that lasts for the allocation that made the call.
    static thread_local bool failing;
    static thread_local std::size_t latest_refused;
    checking_upstream up;
    up.set_policy([](std::size_t call, std::size_t) {
        failing = failing || call % 3 == 0;
        if (failing)
            throw refusal(latest_refused = call);
    });

    std::atomic<std::size_t> arrived{0};
    for (std::size_t round = 0; round < 30; ++round) {
        pool_type pool(&up);
        std::vector<std::vector<block>> blocks(thread_count);
        on_threads(thread_count, [&](std::size_t self) {
            for (std::size_t i = 0; i < 12; ++i) {
                failing = false;
                latest_refused = 0;
                try {
                    blocks[self].push_back(take(pool, 700 + 100 * self, 8, self * 16 + i));
                } catch (const refusal &caught) {
                    EXPECT_EQ(caught.thread, std::this_thread::get_id());
                    EXPECT_EQ(caught.call, latest_refused);
                    EXPECT_EQ(&caught, caught.born);
                    ++arrived;
                }
            }
        });
        expect_apart_and_intact(blocks);
        expect_accounts_agree(pool, up);
    }
    EXPECT_GT(arrived.load(), 0u);
    EXPECT_EQ(up.held(), 0u);
}

TEST(exceptions, thrown_in_all_threads_together_do_not_mix)
{
    refusing_upstream up;
    pool_type pool(&up);
    on_threads(thread_count, [&](std::size_t) {
        for (int i = 0; i < 1000; ++i)
            refused_call([&] { (void)pool.allocate(100, 8); });
    });
    EXPECT_EQ(pool.get_statistics().reserved_bytes, 0u);
}

TEST(exceptions, every_third_call_throws_and_every_thread_gets_on)
{
    checking_upstream up;
    up.set_policy([](std::size_t call, std::size_t) {
        if (call % 3 == 0)
            throw refusal(call);
    });
    pool_type pool(&up);
    std::vector<std::vector<block>> blocks(thread_count);
    on_threads(thread_count, [&](std::size_t self) {
        dice d(100 + self);
        for (std::size_t tries = 0; blocks[self].size() < 300 && tries < 10000; ++tries) {
            try {
                blocks[self].push_back(take(pool, d.below(4000), d.alignment(6), self));
            } catch (const refusal &caught) {
                EXPECT_EQ(caught.thread, std::this_thread::get_id());
            }
        }
        EXPECT_EQ(blocks[self].size(), 300u);
    });
    expect_apart_and_intact(blocks);
    expect_accounts_agree(pool, up);
}

// Refuses requests above 1 GiB, and takes its time: until two of them have come and the gate is opened.
class slow_refuser : public checking_upstream
{
public:
    void wait_for_two() const
    {
        while (waiting_.load() < 2)
            std::this_thread::yield();
    }
    void open() { open_ = true; }

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        if (bytes <= std::size_t{1} << 30)
            return small_.allocate(bytes, alignment);
        ++waiting_;
        while (!open_.load())
            std::this_thread::yield();
        throw refusal(1);
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override
    {
        small_.deallocate(ptr, bytes, alignment);
    }

    checking_upstream small_;
    std::atomic<int> waiting_{0};
    std::atomic<bool> open_{false};
};

TEST(exceptions, huge_requests_of_others_do_not_fail_a_small_one)
{
    slow_refuser up;
    pool_type pool(&up);
    std::atomic<bool> served{false};
    on_threads(3, [&](std::size_t self) {
        if (self < 2) {
            refused_call([&] { (void)pool.allocate(hide(object_most - 127), 1); });
            return;
        }
        up.wait_for_two();
        try {
            take(pool, 100, 8);
            served = true;
        } catch (const std::bad_alloc &) {
        }
        up.open();
    });
    EXPECT_TRUE(served.load()) << "no limit is set, and the upstream has the memory";
}

// ------------------------------------------------------------------------------------ requests --

TEST(requests, microsoft_STL_2609_zero_bytes_give_distinct_pointers)
{
    checking_upstream up;
    std::array<unsigned char, 101> buffer;
    pool_type over_chunks(&up);
    pool_type over_buffer(buffer.data(), buffer.size(), &up);
    for (pool_type *const pool : {&over_chunks, &over_buffer}) {
        std::set<void *> seen;
        for (std::size_t i = 0; i < 2000; ++i) {
            const std::size_t alignment = std::size_t{1} << (i % 8);
            void *const ptr = pool->allocate(0, alignment);
            EXPECT_NE(ptr, hide<void *>(nullptr));
            EXPECT_EQ(misalignment(ptr, alignment), 0u);
            EXPECT_TRUE(seen.insert(ptr).second) << "the same pointer twice";
            if (i % 3 == 0) {
                EXPECT_TRUE(seen.insert(pool->allocate(1, 1)).second) << "a zero-byte block was handed out again";
            }
            pool->deallocate(ptr, 0, alignment);
        }
    }
}

TEST(requests, microsoft_STL_2609_what_no_chunk_can_hold_throws_the_upstreams_exception)
{
    checking_upstream up;
    pool_type pool(&up);
    const block kept = take(pool, 100, 8, 3);
    for (const std::size_t bytes : {size_most, size_most - 1, size_most - 127, size_most / 2 + 1, object_most,
                                    object_most - 1, object_most - 126, object_most - 127, object_most - 1000}) {
        const std::size_t arrived = refused_call([&] { (void)pool.allocate(hide(bytes), 1); });
        EXPECT_EQ(arrived, up.calls());
        EXPECT_GE(up.requests().back().bytes, bytes) << "the upstream did not see a request as large";
    }
    EXPECT_TRUE(intact(kept));
    expect_accounts_agree(pool, up);
}

// Grants what no upstream can: nobody may use it, and it must come back as it was asked.
class boasting_upstream : public std::pmr::memory_resource
{
public:
    int out = 0;

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        ++out;
        bytes_ = bytes;
        alignment_ = alignment;
        return &memory_;
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override
    {
        --out;
        EXPECT_EQ(ptr, &memory_);
        EXPECT_EQ(bytes, bytes_);
        EXPECT_EQ(alignment, alignment_);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

    std::max_align_t memory_{};
    std::size_t bytes_ = 0;
    std::size_t alignment_ = 0;
};

TEST(requests, what_no_chunk_can_hold_throws_even_if_the_upstream_claims_to_have_it)
{
    boasting_upstream up;
    pool_type pool(&up);
    EXPECT_THROW((void)pool.allocate(hide(size_most), 8), std::bad_alloc);
    EXPECT_THROW((void)pool.allocate(hide(object_most), 8), std::bad_alloc);
    EXPECT_EQ(up.out, 0);
}

TEST(requests, near_the_largest_size_with_every_alignment_fail_and_change_nothing)
{
    checking_upstream up;
    pool_type pool(4096, &up);
    const block kept = take(pool, 100, 1, 7);
    const std::size_t allocated = pool.get_statistics().allocated_bytes;
    for (std::size_t power = 0; power < 8 * sizeof(std::size_t); ++power) {
        const std::size_t alignment = std::size_t{1} << power;
        for (const std::size_t less : {0u, 1u, 2u, 15u, 16u, 63u, 64u, 65u, 126u, 127u, 128u, 4096u}) {
            refused_call([&] { (void)pool.allocate(hide(size_most - less), hide(alignment)); });
            refused_call([&] { (void)pool.allocate(hide(size_most - (alignment - 1) - less), hide(alignment)); });
            refused_call([&] { (void)pool.allocate(hide(object_most - less), hide(alignment)); });
        }
    }
    EXPECT_EQ(pool.get_statistics().allocated_bytes, allocated);
    EXPECT_EQ(pool.get_statistics().chunks, 1u);
    EXPECT_EQ(take(pool, 3996, 1).ptr, kept.ptr + 100);
    EXPECT_TRUE(intact(kept));
}

TEST(requests, an_alignment_that_no_address_has_room_for_fails)
{
    checking_upstream up;
    pool_type pool(&up);
    for (std::size_t power = 30; power < 8 * sizeof(std::size_t); ++power)
        refused_call([&] { (void)pool.allocate(1, hide(std::size_t{1} << power)); });
    take(pool, 1, 1);
}

TEST(requests, are_aligned_by_address_up_to_1_mib)
{
    for (const std::size_t offset : upstream_offsets) {
        checking_upstream up(offset);
        pool_type pool(&up);
        std::vector<block> blocks;
        for (std::size_t power = 0; power <= 20; ++power) {
            blocks.push_back(take(pool, 1, 1, power));
            blocks.push_back(take(pool, 10, std::size_t{1} << power, power));
            blocks.push_back(take(pool, std::size_t{1} << power, std::size_t{1} << power, power));
        }
        expect_apart_and_intact({blocks});
    }
}

TEST(requests, through_the_base_class_and_directly_are_the_same)
{
    struct derived : pool_type {
        using pool_type::do_allocate;
        using pool_type::pool_type;
    };
    checking_upstream up;
    derived pool(4096, &up);
    std::pmr::memory_resource *const base = &pool;
    unsigned char *const first = bytes_of(pool.allocate(16, 16));
    EXPECT_EQ(base->allocate(16, 16), first + 16);
    EXPECT_EQ(pool.do_allocate(16, 16), first + 32);
    base->deallocate(first, 16, 16);
    EXPECT_EQ(base->allocate(16, 16), first + 48) << "deallocate does nothing";
    EXPECT_EQ(misalignment(base->allocate(1), max_alignment), 0u) << "the default alignment is the largest";
    EXPECT_EQ(up.calls(), 1u);
    up.set_policy(refuse);
    refused_call([&] { (void)base->allocate(8000, 8); });
}

// --------------------------------------------------------------- issues of the working group --

template <class Overflow>
void expect_array_length_refused(pool_type &pool, const checking_upstream &up, Overflow overflow)
{
    const std::size_t calls = up.calls();
    const std::size_t allocated = pool.get_statistics().allocated_bytes;
    try {
        overflow();
        ADD_FAILURE() << "a block too small was handed out";
    } catch (const std::bad_alloc &) { // std::bad_array_new_length is one, and newer libraries throw it
    }
    EXPECT_EQ(pool.get_statistics().allocated_bytes, allocated);
    EXPECT_EQ(up.calls(), calls);
}

TEST(working_group, lwg_3038_an_array_too_long_gets_no_small_block)
{
    struct wide {
        char bytes[24];
    };
    checking_upstream up;
    pool_type pool(&up);
    take(pool, 1, 1);
    std::pmr::polymorphic_allocator<wide> wides(&pool);
    std::pmr::polymorphic_allocator<std::uint64_t> words(&pool);
    for (const std::size_t more : {1u, 2u, 10u}) {
        expect_array_length_refused(pool, up, [&] { (void)words.allocate(hide(size_most / 8 + more)); });
        expect_array_length_refused(pool, up,
                                    [&] { (void)wides.allocate(hide(size_most / sizeof(wide) + more)); });
#if defined(__cpp_lib_polymorphic_allocator)
        std::pmr::polymorphic_allocator<> any(&pool);
        expect_array_length_refused(pool, up,
                                    [&] { (void)any.allocate_object<std::uint64_t>(hide(size_most / 8 + more)); });
#endif
        errno = 0;
        EXPECT_EQ(tsmbr_allocate_array(pool.native_handle(), hide(size_most / 8 + more), 8, 8), nullptr);
        EXPECT_EQ(errno, ENOMEM);
    }
    EXPECT_EQ(up.calls(), 1u);
}

// Sizes asked of the upstream from its call number `first` on, counted from 0.
std::vector<std::size_t> sizes_since(const checking_upstream &up, std::size_t first)
{
    const std::vector<std::size_t> sizes = up.sizes();
    return std::vector<std::size_t>(sizes.begin() + static_cast<std::ptrdiff_t>(first), sizes.end());
}

// One life: what it asked of the upstream, and its blocks' places in the caller's buffer (or size_most).
struct life {
    std::vector<std::size_t> sizes;
    std::vector<std::size_t> places;
};

life live(pool_type &pool, checking_upstream &up, const script &wanted, const unsigned char *buffer,
          std::size_t buffer_size)
{
    life l;
    const std::size_t before = up.calls();
    for (const block &b : play(pool, wanted))
        l.places.push_back(inside(b.ptr, buffer, buffer_size) ? address(b.ptr) - address(buffer) : size_most);
    l.sizes = sizes_since(up, before);
    return l;
}

void expect_lives_alike(pool_type &pool, checking_upstream &up, const unsigned char *buffer = nullptr,
                        std::size_t buffer_size = 0)
{
    // Without alignments that make padding depend on where the upstream's memory happens to lie.
    script wanted = random_script(400, 500, 7);
    for (checking_upstream::request &r : wanted)
        r.alignment = 1;
    wanted[200].bytes = 100000;
    const life first = live(pool, up, wanted, buffer, buffer_size);
    EXPECT_GT(first.sizes.size(), 2u);
    for (int again = 0; again < 3; ++again) {
        pool.release();
        EXPECT_EQ(up.held(), 0u);
        const tsmbr::statistics s = pool.get_statistics();
        EXPECT_EQ(s.reserved_bytes + s.chunks + s.allocated_bytes, 0u);
        const life next = live(pool, up, wanted, buffer, buffer_size);
        EXPECT_EQ(next.sizes, first.sizes);
        EXPECT_EQ(next.places, first.places);
    }
}

TEST(working_group, lwg_3120_release_restores_the_default_state)
{
    checking_upstream up;
    pool_type pool(&up);
    expect_lives_alike(pool, up);
}

TEST(working_group, lwg_3120_release_restores_the_initial_size)
{
    for (const std::size_t size : {1u, 5000u, 10000u}) {
        checking_upstream up;
        pool_type pool(size, &up);
        expect_lives_alike(pool, up);
    }
}

TEST(working_group, lwg_3120_release_restores_the_buffer)
{
    alignas(16) std::array<unsigned char, 1024> buffer;
    checking_upstream up;
    pool_type pool(buffer.data(), buffer.size(), &up);
    unsigned char *const first = take(pool, 1, 1).ptr;
    EXPECT_EQ(first, buffer.data());
    pool.release();
    EXPECT_EQ(take(pool, buffer.size(), 1).ptr, first) << "the whole buffer again, from its start";
    EXPECT_EQ(up.calls(), 0u);
    pool.release();
    expect_lives_alike(pool, up, buffer.data(), buffer.size());
}

TEST(working_group, lwg_3120_release_twice_is_release)
{
    checking_upstream up;
    pool_type pool(&up);
    take(pool, 100, 8);
    pool.release();
    pool.release();
    EXPECT_EQ(up.returns(), 1u);
    take(pool, 100, 8);
    EXPECT_EQ(up.sizes().at(0), up.sizes().at(1));
}

// Sizes asked of the upstream while small blocks fill `count` chunks.
std::vector<std::size_t> growth(pool_type &pool, const checking_upstream &up, std::size_t count)
{
    const std::size_t before = up.calls();
    std::vector<std::size_t> sizes;
    for (std::size_t blocks = 0; sizes.size() < count && blocks < 100000; ++blocks) {
        (void)pool.allocate(std::max<std::size_t>(64, sizes.empty() ? 0 : sizes.back() / 16), 8);
        sizes = sizes_since(up, before);
    }
    EXPECT_EQ(sizes.size(), count);
    return sizes;
}

constexpr std::size_t growth_most = std::size_t{64} << 20;

TEST(working_group, lwg_3143_growth_is_geometric_and_capped)
{
    checking_upstream up;
    pool_type pool(&up);
    const std::vector<std::size_t> sizes = growth(pool, up, 17);
    std::size_t held = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (i > 0) {
            EXPECT_GE(sizes[i], sizes[i - 1]) << i;
            EXPECT_LE(sizes[i], 2 * sizes[i - 1]) << i;
        }
        if (i > 1 && sizes[i] < sizes.back()) {
            EXPECT_GE(2 * sizes[i], 3 * sizes[i - 2]) << i;
        }
        held += sizes[i];
    }
    EXPECT_LE(sizes.front(), 65536u) << "a small resource should stay small";
    EXPECT_LE(sizes.back(), growth_most);
    EXPECT_GE(sizes.back(), 16 * sizes.front()) << "hardly any growth";
    EXPECT_EQ(sizes.back(), sizes[sizes.size() - 2]) << "growth does not end";
    EXPECT_EQ(pool.get_statistics().reserved_bytes, held);

    pool.release();
    EXPECT_EQ(growth(pool, up, 10), std::vector<std::size_t>(sizes.begin(), sizes.begin() + 10));
}

TEST(working_group, lwg_3143_a_first_chunk_above_the_cap_is_granted_and_not_outgrown)
{
    checking_upstream up;
    pool_type pool(growth_most + 1, &up);
    const std::vector<std::size_t> sizes = growth(pool, up, 2);
    EXPECT_GT(sizes[0], growth_most);
    EXPECT_LE(sizes[1], sizes[0]);
}

TEST(working_group, lwg_3143_one_oversized_request_does_not_blow_up_growth)
{
    checking_upstream up;
    pool_type pool(&up);
    take(pool, 1, 1);
    (void)pool.allocate(std::size_t{100} << 20, 8);
    const std::vector<std::size_t> sizes = growth(pool, up, 3);
    EXPECT_LE(sizes[2], growth_most);
    EXPECT_LE(sizes[2], 2 * sizes[0]);
}

TEST(working_group, lwg_3143_a_refused_request_does_not_change_growth)
{
    checking_upstream plain_up;
    pool_type plain(&plain_up);
    const std::vector<std::size_t> expected = growth(plain, plain_up, 6);

    checking_upstream up;
    pool_type pool(&up);
    const std::size_t huge[] = {std::size_t{1} << 29, object_most - 500, object_most, size_most};
    for (const std::size_t bytes : huge)
        refused_call([&] { (void)pool.allocate(hide(bytes), 8); });
    std::vector<std::size_t> sizes = growth(pool, up, 3);
    for (const std::size_t bytes : huge)
        refused_call([&] { (void)pool.allocate(hide(bytes), 8); });
    for (const std::size_t size : growth(pool, up, 3))
        sizes.push_back(size);
    EXPECT_EQ(sizes, expected);
}

// --------------------------------------------------------------------- the standard's own users --

template <class Container>
void expect_owned(const pool_type &pool, const Container &container)
{
    for (const auto &element : container)
        EXPECT_TRUE(pool.owns(&element));
}

TEST(containers, of_every_kind_live_in_it)
{
    checking_upstream up;
    pool_type pool(&up);
    {
        // Whatever forgets its allocator fails here.
        const default_resource_guard guard(std::pmr::null_memory_resource());
        std::pmr::vector<int> vector(&pool);
        std::pmr::string string(&pool);
        std::pmr::list<int> list(&pool);
        std::pmr::map<int, int> map(&pool);
        std::pmr::unordered_map<int, int> unordered(&pool);
        std::pmr::deque<int> deque(&pool);
        std::pmr::set<int> set(&pool);
        for (int i = 0; i < 2000; ++i) {
            vector.push_back(i);
            string.push_back(static_cast<char>('a' + i % 26));
            list.push_front(i);
            map[i] = -i;
            unordered[i] = 2 * i;
            deque.push_back(i);
            set.insert(i % 500);
        }
        EXPECT_EQ(std::accumulate(vector.begin(), vector.end(), 0), 1999000);
        EXPECT_EQ(std::accumulate(list.begin(), list.end(), 0), 1999000);
        EXPECT_EQ(std::accumulate(deque.begin(), deque.end(), 0), 1999000);
        EXPECT_EQ(string.compare(0, 30, "abcdefghijklmnopqrstuvwxyzabcd"), 0);
        EXPECT_EQ(map.at(1234), -1234);
        EXPECT_EQ(unordered.at(1234), 2468);
        EXPECT_EQ(set.size(), 500u);
        expect_owned(pool, vector);
        expect_owned(pool, string);
        expect_owned(pool, list);
        expect_owned(pool, map);
        expect_owned(pool, unordered);
        expect_owned(pool, deque);
        expect_owned(pool, set);
    }
    expect_accounts_agree(pool, up);
}

TEST(containers, nested_ones_pass_the_allocator_on)
{
    checking_upstream up;
    pool_type pool(&up);
    const default_resource_guard guard(std::pmr::null_memory_resource());
    std::pmr::map<std::pmr::string, std::pmr::vector<std::pmr::string>> map(&pool);
    const char *const text = "a text too long for the small string optimization";
    for (int i = 0; i < 50; ++i) {
        std::pmr::string key(text, &pool);
        key += std::to_string(i);
        map[key].emplace_back(text);
        map[key].push_back(key);
    }
    ASSERT_EQ(map.size(), 50u);
    for (const auto &entry : map) {
        EXPECT_EQ(entry.second.get_allocator().resource(), &pool);
        ASSERT_EQ(entry.second.size(), 2u);
        EXPECT_EQ(entry.second[1], entry.first);
        for (const std::pmr::string &s : entry.second) {
            EXPECT_EQ(s.get_allocator().resource(), &pool);
            EXPECT_TRUE(pool.owns(s.data()));
        }
    }
}

TEST(containers, polymorphic_allocators_construct_and_compare)
{
    struct alignas(64) line {
        int value;
    };
    checking_upstream up;
    pool_type pool(&up);
    pool_type other(&up);
    std::pmr::polymorphic_allocator<line> allocator(&pool);
    std::pmr::polymorphic_allocator<int> rebound(allocator);
    EXPECT_TRUE(allocator == rebound);
    EXPECT_FALSE(allocator == std::pmr::polymorphic_allocator<line>(&other));
    for (std::size_t n = 1; n < 20; ++n) {
        (void)rebound.allocate(1);
        line *const lines = allocator.allocate(n);
        EXPECT_EQ(misalignment(lines, 64), 0u);
        allocator.construct(lines, line{3});
        EXPECT_EQ(lines->value, 3);
        allocator.deallocate(lines, n);
    }
#if defined(__cpp_lib_polymorphic_allocator)
    std::pmr::polymorphic_allocator<> any(&pool);
    std::pmr::string *const s =
        any.new_object<std::pmr::string>("text that is not short, so that it is allocated");
    EXPECT_TRUE(pool.owns(s) && pool.owns(s->data()));
    any.delete_object(s);
    EXPECT_EQ(misalignment(any.allocate_bytes(10, 256), 256), 0u);
#endif
}

TEST(containers, a_throwing_upstream_leaves_a_container_as_it_was)
{
    checking_upstream up;
    pool_type pool(&up);
    std::pmr::vector<int> vector({1, 2, 3}, &pool);
    up.set_policy(refuse);
    refused_call([&] { vector.resize(100000); });
    EXPECT_EQ(vector, (std::pmr::vector<int>{1, 2, 3}));
    up.set_policy(nullptr);
    vector.resize(100000);
    EXPECT_EQ(vector[2], 3);
}

TEST(resources, a_monotonic_resource_on_top)
{
    checking_upstream up;
    pool_type pool(&up);
    {
        std::pmr::monotonic_buffer_resource top(100, &pool);
        expect_apart_and_intact({play(top, random_script(500, 300, 8))});
    }
    expect_accounts_agree(pool, up);
}

TEST(resources, an_unsynchronized_pool_on_top)
{
    checking_upstream up;
    pool_type pool(&up);
    std::pmr::unsynchronized_pool_resource top(&pool);
    dice d(9);
    std::vector<block> blocks;
    for (std::size_t i = 0; i < 3000; ++i) {
        if (!blocks.empty() && d.below(3) == 0) {
            EXPECT_TRUE(intact(blocks.back()));
            top.deallocate(blocks.back().ptr, blocks.back().bytes, 8);
            blocks.pop_back();
        } else {
            blocks.push_back(take(top, 1 + d.below(2000), 8, i));
        }
    }
    expect_apart_and_intact({blocks});
}

// Eight threads take from `from` and give half of it back; what they keep must be apart and unharmed.
void take_and_give_back_on_threads(std::pmr::memory_resource &from)
{
    std::vector<std::vector<block>> kept(thread_count);
    on_threads(thread_count, [&](std::size_t self) {
        dice d(200 + self);
        for (std::size_t i = 0; i < 300; ++i) {
            const block b = take(from, 1 + d.below(500), 8, self * 1000 + i);
            if (d.below(2) == 0) {
                EXPECT_TRUE(intact(b));
                from.deallocate(b.ptr, b.bytes, 8);
            } else {
                kept[self].push_back(b);
            }
        }
    });
    expect_apart_and_intact(kept);
}

TEST(resources, a_synchronized_pool_on_top)
{
    checking_upstream up;
    pool_type pool(&up);
    {
        std::pmr::synchronized_pool_resource top(&pool);
        take_and_give_back_on_threads(top);
    }
    expect_accounts_agree(pool, up);
}

TEST(resources, a_synchronized_pool_below)
{
    checking_upstream up;
    std::pmr::synchronized_pool_resource below(&up);
    pool_type pool(&below);
    take_and_give_back_on_threads(pool);
}

TEST(resources, the_new_delete_resource_below)
{
    pool_type pool(std::pmr::new_delete_resource());
    take_and_give_back_on_threads(pool);
}

TEST(resources, another_one_below)
{
    checking_upstream up;
    pool_type below(&up);
    {
        pool_type above(&below);
        take_and_give_back_on_threads(above);
        EXPECT_GE(below.get_statistics().allocated_bytes, above.get_statistics().reserved_bytes);
    }
    expect_accounts_agree(below, up);
}

TEST(resources, an_exception_passes_through_two_of_them_unchanged)
{
    checking_upstream up;
    pool_type below(&up);
    pool_type above(&below);
    const block kept = take(above, 100, 8, 1);
    up.set_policy(refuse);
    for (const std::size_t bytes : {std::size_t{100000}, object_most - 1000, object_most, size_most}) {
        const std::size_t arrived = refused_call([&] { (void)above.allocate(hide(bytes), 8); });
        EXPECT_EQ(arrived, up.calls());
    }
    up.set_policy(nullptr);
    expect_apart_and_intact({{kept, take(above, 100000, 8, 2)}});
}

// Every block is aligned by its address, and the exact pointer comes back.
TEST(resources, misaligned_memory_below)
{
    for (const std::size_t offset : upstream_offsets) {
        checking_upstream up(offset);
        pool_type pool(1, &up);
        expect_apart_and_intact({play(pool, random_script(300, 700, 10 + offset))});
        expect_accounts_agree(pool, up);
        pool.release();
        EXPECT_EQ(up.held(), 0u);
    }
}

TEST(resources, misaligned_memory_below_on_threads)
{
    for (const std::size_t offset : upstream_offsets) {
        checking_upstream up(offset);
        pool_type pool(&up);
        take_and_give_back_on_threads(pool);
    }
}

// ------------------------------------------------------------------------------------- threads --

TEST(threads, random_blocks_never_overlap_and_every_byte_comes_back)
{
    alignas(16) std::array<unsigned char, 1000> buffer;
    checking_upstream up;
    pool_type pool(buffer.data() + 1, buffer.size() - 1, &up);
    for (std::uint64_t round = 0; round < 4; ++round) {
        std::vector<std::vector<block>> blocks(thread_count);
        on_threads(thread_count, [&](std::size_t self) {
            dice d(round * 100 + self);
            for (std::size_t i = 0; i < 1000; ++i) {
                const std::size_t most = d.below(50) == 0 ? 20000 : 200;
                blocks[self].push_back(
                    take(pool, d.below(most), d.alignment(d.below(20) == 0 ? 12 : 6), self * 7 + i));
                pool.deallocate(blocks[self].back().ptr, 1, 1);
            }
        });
        expect_apart_and_intact(blocks);
        expect_accounts_agree(pool, up);
        pool.release();
        EXPECT_EQ(up.held(), 0u);
        EXPECT_EQ(up.returns(), up.grants());
    }
}

// The chunks that one thread needs for `count` blocks of one size.
tsmbr::statistics alone(const tsmbr::options &wanted, std::size_t count, std::size_t bytes)
{
    checking_upstream up;
    pool_type pool(wanted, &up);
    for (std::size_t i = 0; i < count; ++i)
        take(pool, bytes, 8);
    return pool.get_statistics();
}

TEST(threads, a_storm_at_chunk_ends_leaves_no_more_chunks_than_one_thread)
{
    tsmbr::options wanted;
    wanted.initial_size = 4096;
    wanted.flags = TSMBR_SHARED_ONLY;
    constexpr std::size_t each = 8;
    // Not so large that a block gets a chunk of its own, and large enough that chunks end often.
    for (const std::size_t bytes : {300u, 512u, 900u}) {
        const tsmbr::statistics expected = alone(wanted, thread_count * each, bytes);
        checking_upstream up;
        pool_type pool(wanted, &up);
        for (std::size_t round = 0; round < 25; ++round) {
            std::vector<std::vector<block>> blocks(thread_count);
            on_threads(thread_count, [&](std::size_t self) {
                for (std::size_t i = 0; i < each; ++i)
                    blocks[self].push_back(take(pool, bytes, 8, self * each + i));
            });
            expect_apart_and_intact(blocks);
            expect_accounts_agree(pool, up);
            const tsmbr::statistics s = pool.get_statistics();
            ASSERT_EQ(s.chunks, expected.chunks);
            ASSERT_EQ(s.reserved_bytes, expected.reserved_bytes);
            pool.release();
        }
    }
}

TEST(threads, new_chunks_that_arrive_together_are_all_kept_or_returned)
{
    for (const std::size_t bytes : {100u, 5000u}) { // for all, and each block's own
        gathering_upstream up;
        pool_type pool(&up);
        for (std::size_t round = 0; round < 100; ++round) {
            std::vector<std::vector<block>> blocks(thread_count);
            on_threads(thread_count, [&](std::size_t self) {
                for (std::size_t i = 0; i < 3; ++i)
                    blocks[self].push_back(take(pool, bytes, 8, self * 3 + i));
            });
            expect_apart_and_intact(blocks);
            expect_accounts_agree(pool, up.granted);
            pool.release();
            ASSERT_EQ(up.granted.held(), 0u);
        }
    }
}

TEST(threads, an_exact_limit_holds_under_races)
{
    checking_upstream up;
    tsmbr::options wanted;
    wanted.limit = 50000;
    pool_type pool(wanted, &up);
    for (std::size_t round = 0; round < 20; ++round) {
        std::vector<std::vector<block>> blocks(thread_count);
        std::atomic<std::size_t> refusals{0};
        on_threads(thread_count, [&](std::size_t self) {
            try {
                for (std::size_t i = 0; i < 1000; ++i)
                    blocks[self].push_back(take(pool, 100 + 10 * self, 8, i));
            } catch (const std::bad_alloc &) {
                ++refusals;
            }
        });
        EXPECT_EQ(refusals.load(), thread_count) << "more was served than the limit allows";
        EXPECT_LE(up.most_held(), wanted.limit);
        EXPECT_LE(pool.get_statistics().peak_reserved_bytes, wanted.limit);
        expect_apart_and_intact(blocks);
        expect_accounts_agree(pool, up);
        pool.release();
    }
}

TEST(threads, containers_of_all_threads_share_one_resource)
{
    checking_upstream up;
    pool_type pool(&up);
    {
        using table = std::pmr::unordered_map<int, std::pmr::string>;
        std::vector<std::unique_ptr<table>> tables(thread_count);
        on_threads(thread_count, [&](std::size_t self) {
            tables[self] = std::make_unique<table>(&pool);
            for (int i = 0; i < 300; ++i)
                (*tables[self])[i] =
                    std::string(20 + static_cast<std::size_t>(i) % 50, static_cast<char>('a' + self));
        });
        for (std::size_t self = 0; self < thread_count; ++self) {
            ASSERT_EQ(tables[self]->size(), 300u);
            for (const auto &entry : *tables[self]) {
                EXPECT_EQ(entry.second.find_first_not_of(static_cast<char>('a' + self)), std::string::npos);
                EXPECT_EQ(entry.second.size(), 20 + static_cast<std::size_t>(entry.first) % 50);
            }
        }
        // A container filled by one thread is destroyed by another.
        on_threads(thread_count, [&](std::size_t self) { tables[(self + 1) % thread_count].reset(); });
    }
    expect_accounts_agree(pool, up);
}

TEST(threads, may_ask_about_the_resource_while_others_allocate)
{
    checking_upstream up;
    pool_type pool(&up);
    std::atomic<std::size_t> working{thread_count - 1};
    on_threads(thread_count, [&](std::size_t self) {
        if (self != 0) {
            for (std::size_t i = 0; i < 500; ++i)
                EXPECT_TRUE(pool.owns(take(pool, 100, 8).ptr));
            --working;
            return;
        }
        std::size_t allocated = 0;
        do {
            const tsmbr::statistics s = pool.get_statistics();
            EXPECT_GE(s.allocated_bytes, allocated) << "bytes handed out went down";
            allocated = s.allocated_bytes;
            EXPECT_FALSE(pool.owns(&working));
            EXPECT_EQ(pool.upstream_resource(), &up);
        } while (working.load() != 0);
    });
    EXPECT_GE(pool.get_statistics().allocated_bytes, 500 * 100 * (thread_count - 1));
}

TEST(threads, register_cleanups_that_all_run_once)
{
    static std::atomic<std::size_t> runs;
    runs = 0;
    checking_upstream up;
    pool_type pool(&up);
    std::vector<int> counts(thread_count * 100, 0);
    on_threads(thread_count, [&](std::size_t self) {
        for (std::size_t i = 0; i < 100; ++i)
            pool.on_release(
                [](void *count) {
                    ++*static_cast<int *>(count);
                    ++runs;
                },
                &counts[self * 100 + i]);
    });
    EXPECT_EQ(runs.load(), 0u);
    pool.release();
    EXPECT_EQ(runs.load(), counts.size());
    EXPECT_EQ(std::count(counts.begin(), counts.end(), 1), static_cast<std::ptrdiff_t>(counts.size()));
}

TEST(threads, resize_their_own_blocks)
{
    checking_upstream up;
    pool_type pool(std::size_t{1} << 16, &up);
    std::vector<std::vector<block>> blocks(thread_count);
    on_threads(thread_count, [&](std::size_t self) {
        dice d(300 + self);
        for (std::size_t i = 0; i < 1000; ++i) {
            block b = take(pool, 1 + d.below(100), 1, self * 1000 + i);
            const std::size_t wanted = 1 + d.below(200);
            if (pool.try_resize(b.ptr, b.bytes, wanted)) {
                b.ptr = hide(b.ptr);
                b.bytes = wanted;
                fill(b);
            }
            blocks[self].push_back(b);
        }
    });
    expect_apart_and_intact(blocks);
}

// ---------------------------------------------------------------------------- beyond the seed --

TEST(reset, makes_an_identical_round_free)
{
    alignas(16) std::array<unsigned char, 100> buffer;
    checking_upstream up;
    pool_type with_buffer(buffer.data(), buffer.size(), &up);
    pool_type without(&up);
    for (pool_type *const pool : {&with_buffer, &without}) {
        const script wanted = random_script(1000, 100, 11);
        play(*pool, wanted);
        const std::size_t calls = up.calls();
        const std::size_t held = up.held();
        for (int round = 0; round < 3; ++round) {
            pool->reset();
            EXPECT_EQ(pool->get_statistics().allocated_bytes, 0u);
            expect_apart_and_intact({play(*pool, wanted)});
            EXPECT_EQ(up.calls(), calls) << "round " << round;
            EXPECT_EQ(up.held(), held);
        }
    }
}

TEST(reset, makes_an_identical_round_with_large_blocks_free)
{
    checking_upstream up;
    pool_type pool(&up);
    const script wanted = {{500, 8}, {500, 8}, {10000, 8}, {10000, 8}};
    play(pool, wanted);
    const std::size_t calls = up.calls();
    pool.reset();
    expect_apart_and_intact({play(pool, wanted)});
    EXPECT_EQ(up.calls(), calls) << "the same work asked the upstream again";
}

TEST(reset, makes_identical_rounds_of_any_sizes_free)
{
    for (std::uint64_t stream = 0; stream < 50; ++stream) {
        checking_upstream up;
        pool_type pool(&up);
        const script wanted = random_script(40, 5000, 1000 + stream);
        play(pool, wanted);
        const std::size_t calls = up.calls();
        pool.reset();
        expect_apart_and_intact({play(pool, wanted)});
        EXPECT_EQ(up.calls(), calls) << "stream " << stream;
    }
}

TEST(reset, keeps_no_more_than_told)
{
    checking_upstream up;
    pool_type pool(&up);
    for (const std::size_t keep :
         {size_most, std::size_t{100000}, std::size_t{3000}, std::size_t{1}, std::size_t{0}}) {
        play(pool, random_script(500, 3000, 12));
        const std::size_t before = up.held();
        pool.reset(keep);
        EXPECT_LE(up.held(), keep);
        EXPECT_LE(up.held(), before);
        EXPECT_TRUE(keep < size_most || up.held() == before);
        expect_accounts_agree(pool, up);
        EXPECT_EQ(pool.get_statistics().allocated_bytes, 0u);
    }
    EXPECT_EQ(up.held(), 0u);
}

TEST(reset, kept_memory_is_shared_by_threads_and_returned_by_release)
{
    checking_upstream up;
    pool_type pool(&up);
    for (std::uint64_t round = 0; round < 5; ++round) {
        std::vector<std::vector<block>> blocks(thread_count);
        on_threads(thread_count, [&](std::size_t self) {
            dice d(400 + round * 10 + self);
            for (std::size_t i = 0; i < 300; ++i)
                blocks[self].push_back(
                    take(pool, d.below(d.below(20) == 0 ? 9000 : 300), d.alignment(6), self + i));
        });
        expect_apart_and_intact(blocks);
        expect_accounts_agree(pool, up);
        pool.reset();
    }
    EXPECT_GT(up.held(), 0u);
    pool.release();
    EXPECT_EQ(up.held(), 0u);
}

TEST(resize, the_last_block_alone_grows)
{
    checking_upstream up;
    pool_type pool(1000, &up);
    block first = take(pool, 100, 1, 1);
    EXPECT_TRUE(pool.try_resize(first.ptr, 100, 200));
    first = block{hide(first.ptr), 200, 2};
    fill(first);
    const block second = take(pool, 50, 1, 3);
    EXPECT_EQ(second.ptr, first.ptr + 200);
    EXPECT_FALSE(pool.try_resize(first.ptr, 200, 201)) << "another block stands behind it";
    EXPECT_TRUE(pool.try_resize(first.ptr, 200, 200));
    EXPECT_TRUE(pool.try_resize(first.ptr, 200, 10)) << "any block shrinks";
    EXPECT_TRUE(intact(second));

    EXPECT_TRUE(pool.try_resize(second.ptr, 50, 800));
    EXPECT_FALSE(pool.try_resize(second.ptr, 800, 100000));
    EXPECT_FALSE(pool.try_resize(second.ptr, 800, size_most));
    EXPECT_TRUE(pool.try_resize(second.ptr, 800, 20));
    EXPECT_EQ(take(pool, 1, 1).ptr, second.ptr + 20) << "what the last block gives up is handed out again";
    EXPECT_FALSE(pool.try_resize(nullptr, 0, 1));
    EXPECT_EQ(up.calls(), 1u);
}

TEST(owns, what_was_handed_out_until_release)
{
    alignas(16) std::array<unsigned char, 64> buffer;
    checking_upstream up;
    pool_type pool(buffer.data(), buffer.size(), &up);
    pool_type other(&up);
    EXPECT_FALSE(pool.owns(buffer.data()));
    std::vector<block> blocks = play(pool, random_script(100, 3000, 13));
    for (const block &b : blocks) {
        EXPECT_TRUE(pool.owns(b.ptr));
        EXPECT_TRUE(b.bytes == 0 || pool.owns(b.ptr + b.bytes - 1));
        EXPECT_FALSE(other.owns(b.ptr));
    }
    EXPECT_FALSE(pool.owns(&up));
    EXPECT_FALSE(pool.owns(nullptr));
    EXPECT_FALSE(pool.owns(buffer.data() + buffer.size()));
    pool.reset();
    EXPECT_EQ(std::count_if(blocks.begin(), blocks.end(), [&](const block &b) { return pool.owns(b.ptr); }), 0);
    pool.release();
    EXPECT_EQ(std::count_if(blocks.begin(), blocks.end(), [&](const block &b) { return pool.owns(b.ptr); }), 0);
}

TEST(statistics, agree_with_what_happened)
{
    checking_upstream up;
    pool_type pool(1000, &up);
    take(pool, 100, 1);
    take(pool, 20, 1);
    tsmbr::statistics s = pool.get_statistics();
    EXPECT_EQ(s.allocated_bytes, 120u);
    EXPECT_EQ(s.chunks, 1u);
    EXPECT_EQ(s.reserved_bytes, up.held());
    EXPECT_EQ(s.lost_races, 0u);
    EXPECT_EQ(s.wasted_bytes, 0u);

    take(pool, 5000, 1); // a chunk of its own
    s = pool.get_statistics();
    EXPECT_EQ(s.allocated_bytes, 5120u);
    EXPECT_EQ(s.chunks, 2u);
    EXPECT_EQ(s.reserved_bytes, up.held());

    const std::size_t peak = s.peak_reserved_bytes;
    EXPECT_EQ(peak, up.most_held());
    pool.release();
    s = pool.get_statistics();
    EXPECT_EQ(s.allocated_bytes, 0u);
    EXPECT_EQ(s.reserved_bytes, 0u);
    EXPECT_EQ(s.peak_reserved_bytes, peak);
}

// A cleanup's argument: where to write which number, and a block that must still be there.
struct note {
    std::vector<int> *order;
    int number;
    block witness;
    pool_type *pool;
};

void write_note(void *argument)
{
    const note *const n = static_cast<note *>(argument);
    EXPECT_TRUE(intact(n->witness));
    n->order->push_back(n->number);
}

// Registers another cleanup, over a block allocated during the release.
void write_note_and_register(void *argument)
{
    write_note(argument);
    note *const n = static_cast<note *>(argument);
    n->number += 100;
    n->witness = take(*n->pool, 5000, 8, 77);
    n->pool->on_release(write_note, n);
}

TEST(on_release, runs_latest_first_while_the_blocks_are_there)
{
    checking_upstream up;
    std::vector<int> order;
    std::array<note, 4> notes{};
    const auto register_all = [&](pool_type &pool) {
        order.clear();
        for (std::size_t i = 0; i < notes.size(); ++i) {
            notes[i] = note{&order, static_cast<int>(i), take(pool, 1000, 8, i), &pool};
            pool.on_release(i == 2 ? write_note_and_register : write_note, &notes[i]);
        }
    };
    const std::vector<int> expected = {3, 2, 102, 1, 0};
    {
        pool_type pool(&up);
        register_all(pool);
        pool.release();
        EXPECT_EQ(order, expected) << "release";
        pool.release();
        EXPECT_EQ(order, expected) << "a cleanup ran twice";
        register_all(pool);
        pool.reset();
        EXPECT_EQ(order, expected) << "reset";
        register_all(pool);
    }
    EXPECT_EQ(order, expected) << "destruction";
}

TEST(on_release, throws_bad_alloc_if_there_is_no_memory_or_no_function)
{
    checking_upstream up;
    pool_type pool(&up);
    expect_plain_bad_alloc([&] { pool.on_release(nullptr, nullptr); });
    up.set_policy(refuse);
    expect_plain_bad_alloc([&] { pool.on_release(write_note, nullptr); });
    pool.release();
}

TEST(native_handle, takes_the_c_functions)
{
    checking_upstream up;
    pool_type pool(&up);
    tsmbr_resource *const handle = pool.native_handle();
    const char *const text = tsmbr_printf(handle, "%s and %d", "text", 7);
    EXPECT_STREQ(text, "text and 7");
    EXPECT_STREQ(tsmbr_strdup(handle, "again"), "again");
    EXPECT_TRUE(pool.owns(text));
    const int *const zeros = static_cast<const int *>(tsmbr_calloc(handle, 100, sizeof(int)));
    EXPECT_EQ(std::count(zeros, zeros + 100, 0), 100);
    EXPECT_NE(tsmbr_new(handle, double), nullptr);
    EXPECT_NE(tsmbr_new_array(handle, double, 10), nullptr);
    void *const moved = tsmbr_reallocate(handle, tsmbr_memdup(handle, "12345678", 8), 8, 100000, 8);
    EXPECT_EQ(std::memcmp(moved, "12345678", 8), 0);
    expect_accounts_agree(pool, up);
}

TEST(native_handle, gives_c_callers_errno_where_the_upstream_throws)
{
    checking_upstream up;
    pool_type pool(&up);
    up.set_policy(refuse);
    errno = 0;
    EXPECT_EQ(tsmbr_allocate(pool.native_handle(), 100, 8), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_GT(up.calls(), 0u);
    up.set_policy(nullptr);
    EXPECT_NE(tsmbr_allocate(pool.native_handle(), 100, 8), nullptr);
    take(pool, 100, 8);
    expect_accounts_agree(pool, up);
}

TEST(errno_value, is_left_alone_by_success)
{
    checking_upstream up;
    pool_type pool(&up);
    errno = 1234;
    play(pool, random_script(200, 1000, 14));
    EXPECT_EQ(errno, 1234);
}

} // namespace
