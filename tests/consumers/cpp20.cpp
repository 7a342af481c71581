// A C++20 program over an installed tsmbr: two threads make objects in one resource by way of
// polymorphic_allocator<>, the main thread checks them after they ended.
#include <thread_safe_monotonic_buffer.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "header_alone.h"

namespace
{

struct alignas(64) record {
    std::uint64_t number = 0;
    std::span<std::uint32_t> values;
};

constexpr std::uint32_t records = 1000;

record *make(std::pmr::polymorphic_allocator<> allocator, std::uint32_t number)
{
    auto *const r = allocator.new_object<record>();
    const std::size_t count = 1 + number % 50;
    r->number = number;
    r->values = {allocator.allocate_object<std::uint32_t>(count), count};
    for (std::uint32_t &v : r->values)
        v = number;
    return r;
}

bool intact(const record &r, std::uint32_t number)
{
    if (reinterpret_cast<std::uintptr_t>(&r) % alignof(record) != 0 || r.number != number)
        return false;
    for (const std::uint32_t v : r.values)
        if (v != number)
            return false;
    return r.values.size() == 1 + number % 50;
}

} // namespace

int main()
{
    tsmbr::thread_safe_monotonic_buffer_resource pool(std::size_t{1} << 16);
    std::array<std::vector<record *>, 2> made;
    std::array<std::thread, 2> threads;
    for (std::size_t t = 0; t < threads.size(); ++t)
        threads[t] = std::thread([&made, &pool, t] {
            for (std::uint32_t i = 0; i < records; ++i)
                made[t].push_back(make(&pool, i));
        });
    for (std::thread &t : threads)
        t.join();

    bool ok = header_alone_cpp() == 1;
    for (const std::vector<record *> &some : made) {
        ok = ok && some.size() == records;
        for (std::uint32_t i = 0; ok && i < records; ++i)
            ok = intact(*some[i], i);
    }
    std::puts(ok ? "consumer ok" : "consumer failed");
    return ok ? 0 : 1;
}
