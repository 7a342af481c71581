// A block's life and its resource's: reset, resize, owns, statistics, cleanups at release.

#include "cxx_support.hpp"
#include "sanitizers.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#if UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace
{

using namespace cxx_support;

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

// The same work after a reset asks nothing of the upstream.
void expect_identical_round_free(const script &wanted)
{
    checking_upstream up;
    pool_type pool(&up);
    play(pool, wanted);
    const std::size_t calls = up.calls();
    pool.reset();
    expect_apart_and_intact({play(pool, wanted)});
    EXPECT_EQ(up.calls(), calls);
}

TEST(reset, makes_an_identical_round_with_large_blocks_free)
{
    expect_identical_round_free({{500, 8}, {500, 8}, {10000, 8}, {10000, 8}});
}

TEST(reset, makes_identical_rounds_of_any_sizes_free)
{
    for (std::uint64_t stream = 0; stream < 30; ++stream) {
        SCOPED_TRACE(stream);
        expect_identical_round_free(random_script(40, 5000, 1000 + stream));
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

#if defined(__GNUC__) && defined(__OPTIMIZE__)
// What the base class's allocate gives, libstdc++ says, has the size asked for, and never more.
TEST(try_resize, no_compiler_knows_a_blocks_size)
{
    pool_type pool(100000);
    tsmbr::lane_resource lane(pool);
    void *const block = pool.allocate(16, 1);
    EXPECT_EQ(__builtin_object_size(block, 0), size_most);
    EXPECT_TRUE(pool.try_resize(block, 16, 100));
    EXPECT_EQ(__builtin_object_size(lane.allocate(16, 1), 0), size_most);
}
#endif

#if UNDER_ASAN
// Through the base class, as containers call it.
TEST(deallocate, ends_a_block_for_tools)
{
    pool_type pool(100000);
    tsmbr::lane_resource lane(pool);
    for (std::pmr::memory_resource *const memory :
         {static_cast<std::pmr::memory_resource *>(&pool), static_cast<std::pmr::memory_resource *>(&lane)}) {
        void *const block = memory->allocate(64, 8);
        EXPECT_EQ(__asan_region_is_poisoned(block, 64), nullptr);
        memory->deallocate(block, 64, 8);
        EXPECT_EQ(__asan_region_is_poisoned(block, 64), block);
    }
}
#endif

TEST(owns, what_was_handed_out_until_release)
{
    alignas(16) std::array<unsigned char, 64> buffer;
    checking_upstream up;
    pool_type pool(buffer.data(), buffer.size(), &up);
    pool_type other(&up);
    EXPECT_FALSE(pool.owns(buffer.data()));
    const std::vector<block> blocks = play(pool, random_script(100, 3000, 13));
    const auto owned = [&] {
        return std::count_if(blocks.begin(), blocks.end(), [&](const block &b) { return pool.owns(b.ptr); });
    };
    for (const block &b : blocks) {
        EXPECT_TRUE(pool.owns(b.ptr));
        EXPECT_TRUE(b.bytes == 0 || pool.owns(b.ptr + b.bytes - 1));
        EXPECT_FALSE(other.owns(b.ptr));
    }
    EXPECT_FALSE(pool.owns(&up));
    EXPECT_FALSE(pool.owns(nullptr));
    EXPECT_FALSE(pool.owns(buffer.data() + buffer.size()));
    pool.reset();
    EXPECT_EQ(owned(), 0);
    pool.release();
    EXPECT_EQ(owned(), 0);
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

TEST(reserve, gets_the_next_chunk_now_or_throws)
{
    checking_upstream up;
    pool_type pool(&up);
    pool.reserve(100000);
    up.set_policy(refuse);
    EXPECT_NE(pool.allocate(100000, 1), nullptr);
    expect_plain_bad_alloc([&] { pool.reserve(100000); });
    pool.release();
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

} // namespace
