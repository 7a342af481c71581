// Requests: none too small, too large or too aligned to be answered rightly; the standard's issues about
// arrays, release and growth.

#include "cxx_support.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <set>
#include <vector>

namespace
{

using namespace cxx_support;

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
    EXPECT_EQ(misalignment(base->allocate(1), alignof(std::max_align_t)), 0u)
        << "the default alignment is the largest";
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
    EXPECT_LE(sizes[0], 8192u) << "a small resource should stay small";
    EXPECT_LE(sizes[2], 4 * sizes[0]) << "more than doubling";
}

TEST(working_group, lwg_3143_a_refused_request_does_not_change_growth)
{
    checking_upstream plain_up;
    pool_type plain(&plain_up);
    const std::vector<std::size_t> expected = growth(plain, plain_up, 6);

    checking_upstream up;
    pool_type pool(&up);
    const auto ask_too_much = [&] {
        for (const std::size_t bytes : {std::size_t{1} << 29, object_most - 500, object_most, size_most})
            refused_call([&] { (void)pool.allocate(hide(bytes), 8); });
    };
    ask_too_much();
    std::vector<std::size_t> sizes = growth(pool, up, 3);
    ask_too_much();
    for (const std::size_t size : growth(pool, up, 3))
        sizes.push_back(size);
    EXPECT_EQ(sizes, expected);
}

} // namespace
