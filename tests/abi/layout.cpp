// Sizes of the C++ classes: objects of one file of a program may be used by another that was compiled earlier.
// See layout.c.
#include <thread_safe_monotonic_buffer.hpp>

#define TYPE(type)                                                                                                \
    __asm__ volatile("\n.ascii \"layout " #type " %c0 %c1\"" : : "i"(sizeof(type)), "i"(alignof(type)))

void layout();
void layout()
{
    TYPE(tsmbr::options);
    TYPE(tsmbr::thread_safe_monotonic_buffer_resource);
    TYPE(tsmbr::lane_resource);
    TYPE(tsmbr::upstream_memory);
}
