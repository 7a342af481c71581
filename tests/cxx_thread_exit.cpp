// Blocks taken by destructors of thread_local and of static objects: while a thread ends, and while the program
// does.

#include "cxx_support.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <vector>

namespace
{

using namespace cxx_support;

// What the thread's objects share.
struct stay {
    pool_type *pool = nullptr;
    std::vector<block> *blocks = nullptr;
};
thread_local stay here;

void take_some(std::size_t count, std::size_t bytes)
{
    for (std::size_t i = 0; here.pool != nullptr && i < count; ++i)
        here.blocks->push_back(take(*here.pool, bytes, 8, bytes + i));
}

// Made by another object's destructor, and destroyed after it.
struct afterthought {
    int touched = 0;
    ~afterthought() { take_some(5, 70); }
};
thread_local afterthought late;

struct leaver {
    int touched = 0;
    ~leaver()
    {
        take_some(10, 50);
        late.touched = 1;
    }
};
thread_local leaver leaving;

// A lane of the thread's own, closed by its destructor; a container lives in it.
struct own_lane {
    std::optional<tsmbr::lane_resource> lane;
    std::optional<std::pmr::vector<int>> numbers;
    ~own_lane()
    {
        if (!numbers)
            return;
        for (int i = 0; i < 1000; ++i)
            numbers->push_back(i);
        for (int i = 0; i < 1000; ++i)
            if ((*numbers)[static_cast<std::size_t>(i)] != i)
                std::abort();
    }
};
thread_local own_lane held;

TEST(thread_exit, thread_local_objects_allocate_in_their_destructors)
{
    checking_upstream up;
    pool_type pool(1 << 20, &up);
    for (int round = 0; round < 30; ++round) {
        std::vector<std::vector<block>> blocks(thread_count);
        for (auto &own : blocks)
            own.reserve(200);
        on_threads(thread_count, [&](std::size_t self) {
            here = {&pool, &blocks[self]};
            leaving.touched = 1;
            if (self % 2 == 0) // the others have no lane before their end
                take_some(50, 100);
            if (self % 3 == 0) {
                held.lane.emplace(pool);
                held.numbers.emplace(&*held.lane);
            }
        });
        for (std::size_t self = 0; self < thread_count; ++self)
            EXPECT_EQ(blocks[self].size(), (self % 2 == 0 ? 50u : 0u) + 15u);
        expect_apart_and_intact(blocks);
    }
    expect_accounts_agree(pool, up);
}

// The program's end: thread_local objects of the main thread, then handlers of atexit and static objects, latest
// first.
struct program {
    tsmbr::thread_safe_monotonic_buffer_resource pool;
    std::vector<block> blocks;
    std::size_t stages = 0;

    void stage()
    {
        ++stages;
        for (std::size_t i = 0; i < 40; ++i) {
            const std::size_t bytes = i % 10 == 9 ? 5000 : 30;
            blocks.push_back({static_cast<unsigned char *>(pool.allocate(bytes, 8)), bytes, blocks.size()});
            fill(blocks.back());
        }
    }

    bool sound() const { return std::all_of(blocks.begin(), blocks.end(), intact); }
};
program *whole;

struct last_of_thread {
    int touched = 0;
    ~last_of_thread()
    {
        if (whole != nullptr)
            whole->stage();
    }
};
thread_local last_of_thread last_here;

struct last_of_all {
    ~last_of_all()
    {
        whole->stage();
        const bool sound = whole->stages == 3 && whole->sound();
        delete whole; // release runs after main, too
        whole = nullptr;
        std::_Exit(sound ? 0 : 1);
    }
};

[[noreturn]] void end_program()
{
    whole = new program;
    static last_of_all all;
    (void)all;
    (void)std::atexit([] { whole->stage(); });
    last_here.touched = 1;
    std::exit(2);
}

TEST(thread_exit, static_objects_allocate_in_their_destructors)
{
    // In a process of its own. What qemu-user runs cannot start one: there in a child that goes on from here.
    const char *const emulator = std::getenv("TSMBR_EMULATOR");
    const bool starts = emulator == nullptr || std::strstr(emulator, "qemu") == nullptr;
    testing::FLAGS_gtest_death_test_style = starts ? "threadsafe" : "fast";
    EXPECT_EXIT(end_program(), testing::ExitedWithCode(0), "");
}

} // namespace
