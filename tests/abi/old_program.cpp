// A C++ program of the first version: compiled against the headers that scripts/check-abi has frozen, run over the
// shared library of today.
#include <thread_safe_monotonic_buffer.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace
{

struct failing : std::pmr::memory_resource {
    void *do_allocate(std::size_t, std::size_t) override { throw 42; }
    void do_deallocate(void *, std::size_t, std::size_t) override {}
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }
};

bool exceptions_come_through()
{
    failing upstream;
    tsmbr::thread_safe_monotonic_buffer_resource pool(&upstream);
    try {
        (void)pool.allocate(1);
        return false;
    } catch (int thrown) {
        return thrown == 42;
    }
}

bool containers_work()
{
    tsmbr::options wanted;
    wanted.initial_size = 1 << 16;
    wanted.limit = 1 << 24;
    static char buffer[100];
    wanted.buffer = buffer;
    wanted.buffer_size = sizeof buffer;
    wanted.flags = TSMBR_NO_RECYCLE | TSMBR_RED_ZONES;
    tsmbr::thread_safe_monotonic_buffer_resource pool(wanted);
    if (pool.allocate(sizeof buffer, 1) != buffer)
        return false;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&pool] {
            std::pmr::map<int, std::pmr::string> texts(&pool);
            for (int i = 0; i < 1000; ++i)
                texts.emplace(i, "a text that is too long to be stored in place");
            tsmbr::lane_resource lane(pool);
            std::pmr::vector<int> numbers(&lane);
            for (int i = 0; i < 1000; ++i)
                numbers.push_back(i);
        });
    for (std::thread &t : threads)
        t.join();
    const bool full = pool.get_statistics().allocated_bytes > 100000;
    pool.reset();
    const bool nothing_kept = pool.get_statistics().reserved_bytes == 0;
    pool.reserve(1000);
    pool.release();
    return full && nothing_kept && pool.get_statistics().reserved_bytes == 0;
}

} // namespace

int main()
{
    const bool ok = exceptions_come_through() && containers_work();
    std::puts(ok ? "old program ok" : "old program failed");
    return ok ? 0 : 1;
}
