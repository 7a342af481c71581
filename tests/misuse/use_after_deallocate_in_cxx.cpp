/* The same as use_after_deallocate.c, by the C++ header and through the base class, as containers call it.
 *
 * expect asan: ERROR: AddressSanitizer: use-after-poison
 * expect msan: WARNING: MemorySanitizer: use-of-uninitialized-value
 * expect valgrind: Invalid read of size 1
 */
#include <thread_safe_monotonic_buffer.hpp>

#include <cstdio>
#include <cstring>

int main()
{
    tsmbr::thread_safe_monotonic_buffer_resource pool;
    std::pmr::memory_resource *const memory = &pool;
    auto *const block = static_cast<char *>(memory->allocate(64, 8));
    std::memset(block, 1, 64);
#ifndef RIGHT
    memory->deallocate(block, 64, 8);
#endif
    if (*static_cast<const volatile char *>(block) == 'x')
        std::puts("x");
}
