// A program without exceptions and run-time type information: what can be served is; what would throw calls
// std::terminate. One argument picks a failure; the terminate handler says that it was called.
#include <thread_safe_monotonic_buffer.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "to be compiled with -fno-exceptions -fno-rtti"
#endif

namespace
{

// As upstreams are where nothing can be thrown.
struct refusing : std::pmr::memory_resource {
    void *do_allocate(std::size_t, std::size_t) override { return nullptr; }
    void do_deallocate(void *, std::size_t, std::size_t) override {}
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }
};

bool serves()
{
    tsmbr::thread_safe_monotonic_buffer_resource pool(1000);
    std::pmr::vector<std::pmr::string> texts(&pool);
    for (int i = 0; i < 1000; ++i)
        texts.emplace_back("a text that is too long to be stored in place");
    tsmbr::lane_resource lane(pool);
    std::pmr::vector<int> numbers(1000, 7, &lane);
    refusing none;
    tsmbr::thread_safe_monotonic_buffer_resource empty(&none);
    // C's way to learn of a failure.
    return texts[999].size() == 45 && numbers[999] == 7 &&
           tsmbr_allocate(empty.native_handle(), 1, 1) == nullptr && errno == ENOMEM;
}

void fail(const char *what)
{
    refusing none;
    tsmbr::thread_safe_monotonic_buffer_resource empty(&none);
    tsmbr::options wrong;
    wrong.buffer_size = 1;
    if (std::strcmp(what, "allocate") == 0)
        std::printf("%p\n", empty.allocate(1));
    else if (std::strcmp(what, "lane") == 0)
        std::printf("%p\n", tsmbr::lane_resource(empty).allocate(1));
    else if (std::strcmp(what, "reserve") == 0)
        empty.reserve(1);
    else if (std::strcmp(what, "on_release") == 0)
        empty.on_release([](void *) {}, nullptr);
    else if (std::strcmp(what, "construct") == 0)
        tsmbr::thread_safe_monotonic_buffer_resource bad(wrong);
}

} // namespace

int main(int count, char **arguments)
{
    std::set_terminate([] {
        std::puts("terminated");
        std::fflush(stdout);
        std::_Exit(3);
    });
    if (count == 2) {
        fail(arguments[1]);
        std::puts("nothing happened");
        return 1;
    }
    const bool ok = serves();
    std::puts(ok ? "consumer ok" : "consumer failed");
    return ok ? 0 : 1;
}
