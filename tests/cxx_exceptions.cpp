// Exceptions: the upstream's own object reaches the thread whose call failed, and a failed request changes
// nothing; the limit.

#include "cxx_support.hpp"

#include <atomic>
#include <functional>
#include <memory_resource>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace
{

using namespace cxx_support;

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
    const std::vector<block> blocks = play(pool, random_script(50, 300, 4));
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
    expect_apart_and_intact({blocks, play(pool, random_script(50, 300, 5))});
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
    up.set_policy(refuse_above(1000));
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

// An upstream that refuses every request, in all threads at once: it has no lock.
class refusing_upstream : public std::pmr::memory_resource
{
    void *do_allocate(std::size_t, std::size_t) override { throw refusal(1); }
    void do_deallocate(void *, std::size_t, std::size_t) override { ADD_FAILURE() << "nothing was granted"; }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }
};

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

} // namespace
