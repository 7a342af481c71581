// thread_safe_monotonic_buffer.hpp as a strict consumer includes it: twice, among the macros of <windows.h>, every
// member used. See strict.c.
#ifdef STRICT_AMONG_MACROS
#include <cerrno>
#include <exception>
#include <memory_resource>
#include <new>

#include "among_macros.h"
#endif

#include <thread_safe_monotonic_buffer.hpp>

#include <thread_safe_monotonic_buffer.hpp>
#include <tsmbr.h>

#ifdef STRICT_SECOND
#define STRICT strict_cpp_second
#else
#define STRICT strict_cpp
#endif

#if defined(TSMBR_NOINLINE) || defined(TSMBR_LIKELY) || defined(TSMBR_EXCEPTIONS)
#error "the header leaves a macro of its own behind"
#endif

int STRICT();
int STRICT()
{
    using pool_type = tsmbr::thread_safe_monotonic_buffer_resource;
    std::byte buffer[100];
    pool_type by_default;
    pool_type by_upstream(std::pmr::new_delete_resource());
    pool_type by_size(1000);
    pool_type by_buffer(buffer, sizeof(buffer), std::pmr::new_delete_resource());
    tsmbr::options wanted;
    wanted.limit = 100000;
    pool_type pool(wanted, by_default.upstream_resource());
    pool.reserve(1000);
    int cleanups = 0;
    pool.on_release([](void *argument) { ++*static_cast<int *>(argument); }, &cleanups);
    bool ok = false;
    {
        tsmbr::lane_resource lane(pool);
        void *const block = lane.allocate(10, 2);
        void *const other = pool.allocate(20);
        ok = pool.owns(block) && pool.try_resize(other, 20, 10) && &lane.shared() == &pool && lane == lane;
        lane.deallocate(block, 10, 2);
        pool.deallocate(other, 10);
        lane.forget();
    }
    const tsmbr::statistics statistics = pool.get_statistics();
    pool.reset();
    pool.release();
    return ok && cleanups == 1 && statistics.allocated_bytes >= 30 && by_buffer.allocate(1, 1) == buffer &&
           by_size.owns(by_size.allocate(1)) && !by_upstream.owns(by_default.allocate(1));
}
