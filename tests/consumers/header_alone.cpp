// thread_safe_monotonic_buffer.hpp is included first and alone: it must need nothing before it.
#include <thread_safe_monotonic_buffer.hpp>

#include "header_alone.h"

int header_alone_cpp(void)
{
    tsmbr::thread_safe_monotonic_buffer_resource pool(std::pmr::new_delete_resource());
    const void *const block = pool.allocate(100, alignof(std::max_align_t));
    return pool.owns(block) ? 1 : 0;
}
