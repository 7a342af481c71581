// The parts of cxx_support.hpp that need not be compiled with every test.

#include "cxx_support.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <typeinfo>
#include <utility>

namespace cxx_support
{

// -------------------------------------------------------------------------- chance and threads --

static std::uint64_t run_seed()
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

dice::dice(std::uint64_t stream) : state_(run_seed() * 0x9e3779b97f4a7c15u + stream) {}

std::size_t dice::below(std::size_t bound)
{
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::size_t>((z ^ (z >> 31)) % bound);
}

void on_threads(std::size_t count, const std::function<void(std::size_t)> &work)
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

static unsigned char pattern_byte(std::uint64_t pattern, std::size_t i)
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

block take(std::pmr::memory_resource &from, std::size_t bytes, std::size_t alignment, std::uint64_t pattern)
{
    const block b{bytes_of(from.allocate(bytes, alignment)), bytes, pattern};
    EXPECT_NE(b.ptr, hide<unsigned char *>(nullptr));
    EXPECT_EQ(misalignment(b.ptr, alignment), 0u) << bytes << " bytes at " << alignment;
    fill(b);
    return b;
}

static void expect_disjoint(std::vector<block> blocks)
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

// ---------------------------------------------------------------------------------- exceptions --

refusal::refusal(std::size_t refused_call)
    : call(refused_call), thread(std::this_thread::get_id()),
      text("the upstream refused call number " + std::to_string(refused_call)), born(this)
{
}

std::size_t refused_call(const std::function<void()> &act)
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

void expect_plain_bad_alloc(const std::function<void()> &act)
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

// ----------------------------------------------------------------------------------- upstreams --

static constexpr std::size_t guard = 32;
static constexpr std::size_t line = 64;    // one place on a line for all, so that equal lives go alike
static constexpr std::size_t edge = 65536; // bytes overwritten at either end of a large block
static constexpr std::size_t largest = std::size_t{1} << 28;

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

checking_upstream::checking_upstream(std::size_t offset) : offset_(offset) {}

checking_upstream::~checking_upstream()
{
    EXPECT_EQ(out_.size(), 0u) << "blocks never came back to the upstream";
    for (const auto &leaked : out_)
        ::operator delete (leaked.second.raw, std::align_val_t{leaked.second.raw_alignment});
}

void checking_upstream::set_policy(policy wanted)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    policy_ = std::move(wanted);
}

template <class T>
T checking_upstream::locked(const T &value) const
{
    const std::lock_guard<std::mutex> lock(mutex_);
    return value;
}

std::vector<checking_upstream::request> checking_upstream::requests() const
{
    return locked(requests_);
}

std::vector<std::size_t> checking_upstream::sizes() const
{
    std::vector<std::size_t> all;
    for (const request &r : requests())
        all.push_back(r.bytes);
    return all;
}

std::size_t checking_upstream::calls() const
{
    return requests().size();
}

std::size_t checking_upstream::grants() const
{
    return locked(grants_);
}

std::size_t checking_upstream::returns() const
{
    return locked(returns_);
}

std::size_t checking_upstream::held() const
{
    return locked(held_);
}

std::size_t checking_upstream::most_held() const
{
    return locked(most_held_);
}

void *checking_upstream::do_allocate(std::size_t bytes, std::size_t alignment)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back({bytes, alignment});
    if (policy_)
        policy_(requests_.size(), bytes);
    if (bytes > largest || alignment > largest)
        throw refusal(requests_.size());
    const std::size_t raw_alignment = std::max(alignment, line);
    const std::size_t before = raw_alignment + offset_;
    unsigned char *const raw = bytes_of(::operator new (before + bytes + guard, std::align_val_t{raw_alignment}));
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

void checking_upstream::do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment)
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

void refuse(std::size_t call, std::size_t)
{
    throw refusal(call);
}

checking_upstream::policy refuse_above(std::size_t most_bytes)
{
    return [most_bytes](std::size_t call, std::size_t bytes) {
        if (bytes > most_bytes)
            throw refusal(call);
    };
}

void expect_accounts_agree(const pool_type &pool, const checking_upstream &upstream)
{
    const tsmbr::statistics s = pool.get_statistics();
    EXPECT_EQ(s.reserved_bytes, upstream.held());
    EXPECT_EQ(s.chunks, upstream.grants() - upstream.returns());
    EXPECT_GE(s.peak_reserved_bytes, s.reserved_bytes);
}

// ------------------------------------------------------------------------------------- scripts --

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

} // namespace cxx_support
