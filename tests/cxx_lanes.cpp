// Lanes in C++: lane_resource under containers, its exceptions, its end; blocks taken while a thread ends.

#include "cxx_support.hpp"

#include <atomic>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{

using namespace cxx_support;

TEST(lanes, containers_of_many_threads_on_one_pool)
{
    checking_upstream up;
    pool_type pool(&up);
    for (int life = 0; life < 3; ++life) {
        on_threads(thread_count, [&](std::size_t self) {
            tsmbr::lane_resource lane(pool);
            EXPECT_EQ(&lane.shared(), &pool);
            std::pmr::unordered_map<std::pmr::string, std::pmr::vector<std::size_t>> map(&lane);
            for (std::size_t i = 0; i < 2000; ++i)
                map[std::pmr::string("a key that is long enough to be elsewhere ") +=
                    std::to_string(i % 300).c_str()]
                    .push_back(i * thread_count + self);
            EXPECT_EQ(map.size(), 300u);
            for (const auto &[key, numbers] : map) {
                EXPECT_EQ(numbers.get_allocator().resource(), &lane);
                for (const std::size_t number : numbers)
                    EXPECT_EQ(number % thread_count, self);
            }
        });
        expect_accounts_agree(pool, up);
        pool.reset();
    }
}

TEST(lanes, are_equal_to_themselves_only)
{
    pool_type pool;
    tsmbr::lane_resource one(pool), other(pool);
    EXPECT_TRUE(one.is_equal(one));
    EXPECT_FALSE(one.is_equal(other));
    EXPECT_FALSE(one.is_equal(pool));
}

TEST(lanes, blocks_are_apart_from_those_of_the_pool)
{
    checking_upstream up;
    pool_type pool(200000, &up);
    std::vector<block> blocks;
    {
        tsmbr::lane_resource lane(pool), other(pool);
        for (std::size_t i = 0; i < 3000; ++i) {
            std::pmr::memory_resource &from = i % 3 == 0   ? static_cast<std::pmr::memory_resource &>(pool)
                                              : i % 3 == 1 ? lane
                                                           : other;
            blocks.push_back(take(from, i % 90, std::size_t{1} << i % 7, i));
        }
    }
    expect_apart_and_intact({blocks});
    expect_accounts_agree(pool, up);
}

TEST(lanes, the_upstreams_own_exception_arrives)
{
    checking_upstream up;
    pool_type pool(&up);
    tsmbr::lane_resource lane(pool);
    up.set_policy(refuse);
    refused_call([&] { (void)lane.allocate(100, 8); });
    up.set_policy(nullptr);
    std::vector<block> blocks;
    for (std::size_t i = 0; i < 1000; ++i)
        blocks.push_back(take(lane, 100, 8, i));
    up.set_policy(refuse);
    std::size_t served = 0;
    refused_call([&] {
        for (;; ++served)
            blocks.push_back(take(lane, 100, 8, served));
    });
    refused_call([&] { (void)lane.allocate(1 << 24, 8); });
    up.set_policy(nullptr);
    blocks.push_back(take(lane, 1 << 16, 8));
    expect_apart_and_intact({blocks});
    expect_accounts_agree(pool, up);
}

TEST(lanes, bad_alignments_and_exhaustion_throw_bad_alloc)
{
    static unsigned char buffer[100000];
    pool_type pool(buffer, sizeof buffer, std::pmr::null_memory_resource());
    tsmbr::lane_resource lane(pool);
    take(lane, 10, 1);
    for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, size_most})
        expect_plain_bad_alloc([&] { (void)lane.allocate(8, hide(alignment)); });
    std::size_t served = 10;
    expect_plain_bad_alloc([&] {
        for (;; served += 8)
            take(lane, 8, 1);
    });
    EXPECT_GT(served, sizeof buffer - 8);
    expect_plain_bad_alloc([&] { (void)lane.allocate(hide(size_most), 1); });
}

TEST(lanes, end_gives_the_rest_back)
{
    checking_upstream up;
    pool_type pool(100000, &up);
    take(pool, 1, 1);
    for (int i = 0; i < 100; ++i) {
        tsmbr::lane_resource lane(pool);
        take(lane, 10, 1);
    }
    EXPECT_EQ(pool.get_statistics().allocated_bytes, 1001u);
    EXPECT_EQ(pool.get_statistics().wasted_bytes, 0u);
}

TEST(lanes, go_on_after_a_reset_when_reopened)
{
    checking_upstream up;
    std::vector<block> blocks;
    pool_type pool(100000, &up);
    tsmbr::lane_resource lane(pool);
    for (int life = 0; life < 4; ++life) {
        for (std::size_t i = 0; i < 500; ++i)
            blocks.push_back(take(lane, 100, 8, i));
        expect_apart_and_intact({blocks});
        blocks.clear();
        lane.forget();
        if (life % 2 == 0)
            pool.reset();
        else
            pool.release();
        EXPECT_EQ(pool.get_statistics().allocated_bytes, 0u);
        lane.reopen();
    }
}

TEST(lanes, forget_a_resource_that_is_gone)
{
    checking_upstream up;
    auto pool = std::make_unique<pool_type>(100000, &up);
    tsmbr::lane_resource lane(*pool);
    EXPECT_NE(lane.allocate(100, 8), nullptr);
    lane.forget();
    pool->release();
    EXPECT_NE(lane.allocate(100, 8), nullptr); // opens by itself
    lane.forget();
    pool.reset();
}

void *throw_from(void *context, std::size_t bytes, std::size_t)
{
    ++*static_cast<int *>(context);
    throw std::to_string(bytes);
}

TEST(lanes, allocate_or_call_lets_an_exception_pass)
{
    alignas(64) static unsigned char buffer[1 << 17];
    int called = 0;
    tsmbr_wrapped pool = {TSMBR_RESOURCE_INIT, throw_from, &called};
    tsmbr_config config = {};
    config.upstream = tsmbr_null_upstream();
    config.buffer = buffer;
    config.buffer_size = sizeof buffer;
    ASSERT_EQ(tsmbr_init(&pool.resource, &config), 0);
    std::size_t served = 0;
    try {
        for (;; ++served)
            EXPECT_NE(tsmbr_allocate_or_call(&pool, 64, 8), nullptr);
    } catch (const std::string &thrown) {
        EXPECT_EQ(thrown, "64");
    }
    EXPECT_EQ(called, 1);
    EXPECT_GT(served, sizeof buffer / 64 * 97 / 100);
    const std::size_t none = hide(std::size_t{3});
    EXPECT_THROW(EXPECT_EQ(tsmbr_allocate_or_call(&pool, 64, none), nullptr), std::string);
    EXPECT_EQ(called, 2);
    tsmbr_destroy(&pool.resource);

    // The class's own fallback throws, too.
    pool_type full(buffer, sizeof buffer, std::pmr::null_memory_resource());
    while (tsmbr_try_allocate(full.native_handle(), 64, 8) != nullptr)
        ;
    EXPECT_THROW(take(full, 64, 8), std::bad_alloc);
}

// Destroyed while its thread ends: allocates then.
struct late {
    pool_type *pool = nullptr;
    std::vector<block> *blocks = nullptr;
    ~late()
    {
        for (std::size_t i = 0; pool != nullptr && i < 20; ++i)
            blocks->push_back(take(*pool, 50, 8, i));
    }
};
thread_local late at_end;

TEST(lanes, thread_local_destructors_allocate)
{
    checking_upstream up;
    pool_type pool(1 << 20, &up);
    for (int round = 0; round < 20; ++round) {
        std::vector<std::vector<block>> blocks(thread_count);
        for (auto &own : blocks)
            own.reserve(100);
        on_threads(thread_count, [&](std::size_t self) {
            at_end.pool = &pool;
            at_end.blocks = &blocks[self];
            if (self % 2 == 0)
                for (std::size_t i = 0; i < 50; ++i)
                    blocks[self].push_back(take(pool, 100, 8, i));
        });
        for (const auto &own : blocks)
            EXPECT_GE(own.size(), 20u);
        expect_apart_and_intact(blocks);
    }
    expect_accounts_agree(pool, up);
}

} // namespace
