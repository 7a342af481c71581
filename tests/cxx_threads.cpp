// Many threads at one resource: blocks apart and unharmed, no chunk lost, the limit exact, cleanups run once.

#include "cxx_support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{

using namespace cxx_support;

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

TEST(threads, new_chunks_that_arrive_together_are_all_kept_or_returned)
{
    for (const std::size_t bytes : {100u, 5000u}) { // for all, and each block's own
        gathering_upstream up;
        pool_type pool(&up);
        for (std::size_t round = 0; round < 50; ++round) {
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
        std::size_t reserved = 0;
        do {
            const tsmbr::statistics s = pool.get_statistics();
            EXPECT_GE(s.reserved_bytes, reserved) << "bytes held went down";
            EXPECT_LE(s.allocated_bytes, s.reserved_bytes) << "more handed out than held";
            reserved = s.reserved_bytes;
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

} // namespace
