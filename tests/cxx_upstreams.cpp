// The library's upstreams as memory resources: what they grant, what they refuse, how long they last.

#include "cxx_support.hpp"

#include <cstdint>
#include <memory_resource>
#include <string>
#include <thread>
#include <vector>

namespace
{

using namespace cxx_support;

const std::vector<std::pmr::memory_resource *> &all_memories()
{
    static const std::vector<std::pmr::memory_resource *> memories = {
        tsmbr::system_memory(), tsmbr::prefault_memory(), tsmbr::guarded_memory()};
    return memories;
}

TEST(upstreams, are_one_object_each)
{
    EXPECT_EQ(tsmbr::system_memory(), tsmbr::system_memory());
    EXPECT_EQ(tsmbr::prefault_memory(), tsmbr::prefault_memory());
    EXPECT_EQ(tsmbr::guarded_memory(), tsmbr::guarded_memory());
    for (std::pmr::memory_resource *const one : all_memories())
        for (std::pmr::memory_resource *const other : all_memories())
            EXPECT_EQ(one->is_equal(*other), one == other);
}

TEST(upstreams, grant_what_is_asked)
{
    for (std::pmr::memory_resource *const memory : all_memories())
        for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4097}, std::size_t{3} << 20})
            for (const std::size_t alignment : {std::size_t{1}, std::size_t{64}, std::size_t{8192}}) {
                auto *const ptr = static_cast<unsigned char *>(memory->allocate(bytes, alignment));
                ASSERT_NE(ptr, nullptr);
                EXPECT_EQ(reinterpret_cast<std::uintptr_t>(ptr) % alignment, 0u);
                for (std::size_t at = 0; at < bytes; at += 1024)
                    ptr[at] = 1;
                memory->deallocate(ptr, bytes, alignment);
            }
}

TEST(upstreams, throw_where_they_refuse)
{
    for (std::pmr::memory_resource *const memory : all_memories())
        expect_plain_bad_alloc([&] { (void)memory->allocate(hide(size_most), 8); });
}

TEST(upstreams, serve_a_shared_resource)
{
    for (std::pmr::memory_resource *const memory : all_memories()) {
        tsmbr::thread_safe_monotonic_buffer_resource pool(memory);
        EXPECT_EQ(pool.upstream_resource(), memory);
        on_threads(thread_count, [&](std::size_t self) {
            std::pmr::vector<std::pmr::string> texts(&pool);
            for (std::size_t i = 0; i < 300; ++i)
                texts.emplace_back(500 + i, static_cast<char>('a' + self));
            for (std::size_t i = 0; i < texts.size(); ++i)
                EXPECT_EQ(texts[i], std::pmr::string(500 + i, static_cast<char>('a' + self)));
        });
        EXPECT_GE(pool.get_statistics().reserved_bytes, pool.get_statistics().allocated_bytes);
        pool.release();
        EXPECT_EQ(pool.get_statistics().reserved_bytes, 0u);
    }
}

// Made before the memory's first use, so destroyed after anything that would end with it.
struct late_user {
    ~late_user()
    {
        for (std::pmr::memory_resource *const memory :
             {tsmbr::system_memory(), tsmbr::prefault_memory(), tsmbr::guarded_memory()}) {
            void *const ptr = memory->allocate(100, 8);
            memory->deallocate(ptr, 100, 8);
        }
    }
};
const late_user used_last;

} // namespace
