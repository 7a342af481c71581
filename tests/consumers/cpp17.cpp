// A C++17 program over an installed tsmbr: two threads fill a map each in one resource, the main thread
// checks both after they ended.
#include <thread_safe_monotonic_buffer.hpp>

#include <cstdio>
#include <map>
#include <new>
#include <string>
#include <thread>

#include "header_alone.h"

namespace
{

constexpr int entries = 2000;
using table = std::pmr::map<int, std::pmr::string>;

std::string text_for(int i)
{
    return "the text for number " + std::to_string(i);
}

void fill(table &t)
{
    for (int i = 0; i < entries; ++i)
        t.emplace(i, text_for(i));
}

bool intact(const table &t, const tsmbr::thread_safe_monotonic_buffer_resource &pool)
{
    if (t.size() != static_cast<std::size_t>(entries))
        return false;
    for (const auto &[number, text] : t)
        if (std::string(text) != text_for(number) || !pool.owns(text.data()))
            return false;
    return true;
}

bool refuses_beyond_its_buffer()
{
    alignas(16) unsigned char buffer[64];
    tsmbr::thread_safe_monotonic_buffer_resource pool(buffer, sizeof buffer, std::pmr::null_memory_resource());
    if (pool.allocate(64, 1) != buffer)
        return false;
    try {
        (void)pool.allocate(1, 1);
        return false;
    } catch (const std::bad_alloc &) {
        return true;
    }
}

} // namespace

int main()
{
    tsmbr::thread_safe_monotonic_buffer_resource pool;
    bool ok = refuses_beyond_its_buffer() && header_alone_cpp() == 1;
    {
        table one(&pool);
        table two(&pool);
        std::thread first([&] { fill(one); });
        std::thread second([&] { fill(two); });
        first.join();
        second.join();
        ok = ok && intact(one, pool) && intact(two, pool);
    }
    pool.release();
    ok = ok && pool.get_statistics().reserved_bytes == 0;
    std::puts(ok ? "consumer ok" : "consumer failed");
    return ok ? 0 : 1;
}
