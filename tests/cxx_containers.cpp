// The standard's own users: containers in the resource, other resources above and below it.

#include "cxx_support.hpp"

#include <deque>
#include <list>
#include <map>
#include <memory_resource>
#include <numeric>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace
{

using namespace cxx_support;

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
        script wanted = random_script(500, 300, 8);
        for (auto &request : wanted)
            request.bytes += request.bytes == 0; // no bytes twice may be one address twice, in libc++
        expect_apart_and_intact({play(top, wanted)});
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

} // namespace
