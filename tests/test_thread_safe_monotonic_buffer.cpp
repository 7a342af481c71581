// The C++ header, from its interface: construction, the caller's buffer, the initial size, the way to the C
// functions. The rest is in cxx_<topic>.cpp; what the C core promises by itself is tested in C.

#include "cxx_support.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace
{

using namespace cxx_support;

// ------------------------------------------------------------------------------- construction --

static_assert(std::is_base_of<std::pmr::memory_resource, pool_type>::value, "a pmr resource");
static_assert(!std::is_copy_constructible<pool_type>::value, "not copyable");
static_assert(!std::is_copy_assignable<pool_type>::value, "not copyable");
static_assert(!std::is_move_constructible<pool_type>::value, "not movable");
static_assert(!std::is_move_assignable<pool_type>::value, "not movable");
static_assert(std::is_default_constructible<pool_type>::value, "from nothing");
static_assert(std::is_constructible<pool_type, std::pmr::memory_resource *>::value, "from an upstream");
static_assert(std::is_constructible<pool_type, std::size_t, std::pmr::memory_resource *>::value,
              "from a size and an upstream");
static_assert(std::is_constructible<pool_type, void *, std::size_t, std::pmr::memory_resource *>::value,
              "from a buffer and an upstream");
static_assert(std::is_constructible<pool_type, std::size_t>::value, "from a size alone");
static_assert(std::is_constructible<pool_type, void *, std::size_t>::value, "from a buffer alone");
static_assert(std::is_constructible<pool_type, tsmbr::options, std::pmr::memory_resource *>::value,
              "from options and an upstream");
static_assert(std::is_constructible<pool_type, tsmbr::options>::value, "from options alone");
static_assert(!std::is_convertible<std::pmr::memory_resource *, pool_type>::value, "explicit");
static_assert(!std::is_convertible<std::size_t, pool_type>::value, "explicit");
static_assert(!std::is_convertible<tsmbr::options, pool_type>::value, "explicit");
static_assert(noexcept(std::declval<pool_type &>().release()), "release does not throw");
static_assert(noexcept(std::declval<pool_type &>().reset()), "reset does not throw");
static_assert(noexcept(std::declval<pool_type &>().deallocate(nullptr, 1, 1)), "deallocate does not throw");
static_assert(noexcept(std::declval<pool_type &>().deallocate(nullptr, 1)), "nor without an alignment");
static_assert(noexcept(std::declval<const pool_type &>().upstream_resource()), "upstream_resource neither");

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
        EXPECT_LE(up.sizes().at(0), size + 33 * 128 + 128) << size; // a table of lanes, the record and its place
    }
}

TEST(initial_size, that_the_upstream_refuses_does_not_fail_the_request)
{
    for (const std::size_t size : {std::size_t{1} << 20, object_most, size_most}) {
        checking_upstream up;
        up.set_policy(refuse_above(100000));
        pool_type pool(size, &up);
        expect_intact({take(pool, 100, 8, 1), take(pool, 200, 64, 2)});
        expect_accounts_agree(pool, up);
    }
}

// ----------------------------------------------------------------------------------- interface --

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
