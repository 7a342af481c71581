// hello.cpp - four threads fill std::pmr containers from one arena.
#include <iostream>
#include <string>
#include <thread>
#include <thread_safe_monotonic_buffer.hpp>
#include <vector>

int main()
{
    tsmbr::thread_safe_monotonic_buffer_resource arena; // outlives what it serves
    std::pmr::vector<std::pmr::vector<std::pmr::string>> lists(4, &arena);
    std::vector<std::thread> threads;
    for (auto &list : lists)
        threads.emplace_back([&list] {
            for (int i = 0; i < 1000; i++)
                list.emplace_back("too long for a string's own buffer: " + std::to_string(i));
        });
    for (auto &thread : threads)
        thread.join();
    std::size_t count = 0;
    for (const auto &list : lists)
        for (const auto &text : list)
            count += arena.owns(text.data());
    std::cout << count << " strings from " << threads.size() << " threads in one arena\n";
}
