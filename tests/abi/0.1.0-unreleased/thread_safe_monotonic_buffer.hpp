// thread_safe_monotonic_buffer.hpp - the shared monotonic resource as a std::pmr::memory_resource.
//
// SPDX-License-Identifier: MIT
//
// C++17. A thin adapter over tsmbr.h, whose contracts hold here: which calls may run together,
// progress, surplus. What is added is exceptions: an upstream's exception reaches the caller of
// allocate as the object that was thrown, with the resource unchanged and usable.
//
//     tsmbr::thread_safe_monotonic_buffer_resource pool;
//     std::pmr::vector<int> numbers(&pool);                    // on any thread
//     ...
//     pool.release();                                          // when every thread is done
//
// Compiled without exceptions, what would throw calls std::terminate, and the upstream must not throw
// either: nobody could catch it. tsmbr_try_allocate and the like on native_handle() return null instead.
// All files of a program must agree on that, on sanitizers, and on TSMBR_DEBUG and TSMBR_VALGRIND, which the
// library's CMake targets and pkg-config pass on. Run-time type information is not used.
#ifndef THREAD_SAFE_MONOTONIC_BUFFER_HPP
#define THREAD_SAFE_MONOTONIC_BUFFER_HPP

#if __cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "thread_safe_monotonic_buffer.hpp needs C++17 or later"
#endif
#if !__has_include(<memory_resource>)
#error "no std::pmr here: this standard library has no <memory_resource> (libc++ has one from 16 on); use tsmbr.h"
#else

#include <cerrno>
#include <cstddef>
#include <exception>
#include <memory_resource>
#include <new>

#include "tsmbr.h"

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define TSMBR_EXCEPTIONS 1
#else
#define TSMBR_EXCEPTIONS 0
#endif

// Whether a tool is to be told that a block has ended: where this is compiled for a sanitizer, or as a library
// that tells tools is, with TSMBR_DEBUG or TSMBR_VALGRIND. Elsewhere deallocate is no call.
#if defined(__SANITIZE_ADDRESS__) || defined(TSMBR_DEBUG) || defined(TSMBR_VALGRIND)
#define TSMBR_TELL_TOOLS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define TSMBR_TELL_TOOLS 1
#endif
#endif
#if !defined(TSMBR_TELL_TOOLS)
#define TSMBR_TELL_TOOLS 0
#endif

#if defined(__GNUC__)
#define TSMBR_NOINLINE __attribute__((__noinline__, __cold__))
#define TSMBR_LIKELY(condition) __builtin_expect(!!(condition), 1)
#elif defined(_MSC_VER)
#define TSMBR_NOINLINE __declspec(noinline)
#define TSMBR_LIKELY(condition) (condition)
#else
#define TSMBR_NOINLINE
#define TSMBR_LIKELY(condition) (condition)
#endif

namespace tsmbr
{

namespace detail
{

inline void tell_tools(tsmbr_resource *resource, void *ptr, std::size_t bytes, std::size_t alignment) noexcept
{
#if TSMBR_TELL_TOOLS
    tsmbr_deallocate(resource, ptr, bytes, alignment);
#else
    (void)resource, (void)ptr, (void)bytes, (void)alignment;
#endif
}

} // namespace detail

using statistics = tsmbr_statistics;

// What else a resource can be told; zero asks for a default. See tsmbr_config in tsmbr.h.
struct options {
    std::size_t initial_size = 0;
    void *buffer = nullptr;
    std::size_t buffer_size = 0;
    std::size_t limit = 0;
    unsigned flags = 0;
};

class thread_safe_monotonic_buffer_resource : public std::pmr::memory_resource
{
public:
    // All constructors: a null upstream is std::pmr::get_default_resource(), read once, now.
    // The upstream must outlive the resource and be thread-safe: threads call it together.
    // No memory is obtained before the first allocation.
    thread_safe_monotonic_buffer_resource() : thread_safe_monotonic_buffer_resource(options{}, nullptr) {}

    explicit thread_safe_monotonic_buffer_resource(std::pmr::memory_resource *upstream)
        : thread_safe_monotonic_buffer_resource(options{}, upstream)
    {
    }

    explicit thread_safe_monotonic_buffer_resource(std::size_t initial_size)
        : thread_safe_monotonic_buffer_resource(initial_size, nullptr)
    {
    }

    thread_safe_monotonic_buffer_resource(std::size_t initial_size, std::pmr::memory_resource *upstream)
        : thread_safe_monotonic_buffer_resource(with_initial_size(initial_size), upstream)
    {
    }

    thread_safe_monotonic_buffer_resource(void *buffer, std::size_t buffer_size,
                                          std::pmr::memory_resource *upstream = nullptr)
        : thread_safe_monotonic_buffer_resource(with_buffer(buffer, buffer_size), upstream)
    {
    }

    // Throws std::bad_alloc if tsmbr_init refuses the options: a size without a buffer, an unknown flag.
    explicit thread_safe_monotonic_buffer_resource(const options &wanted,
                                                   std::pmr::memory_resource *upstream = nullptr)
        : upstream_{upstream_allocate_noexcept, upstream_deallocate,
                    upstream != nullptr ? upstream : std::pmr::get_default_resource()}
    {
        tsmbr_config config = {}; // by name: a later version has more fields
        config.upstream = &upstream_;
        config.initial_size = wanted.initial_size;
        config.buffer = wanted.buffer;
        config.buffer_size = wanted.buffer_size;
        config.limit = wanted.limit;
        config.flags = wanted.flags;
        if (tsmbr_init(&wrapped_.resource, &config) != 0)
            throw_bad_alloc();
        wrapped_.otherwise = allocate_slow;
        wrapped_.context = this;
        limited_ = wanted.limit != 0;
    }

    thread_safe_monotonic_buffer_resource(const thread_safe_monotonic_buffer_resource &) = delete;
    thread_safe_monotonic_buffer_resource &operator=(const thread_safe_monotonic_buffer_resource &) = delete;

    ~thread_safe_monotonic_buffer_resource() override { tsmbr_destroy(&wrapped_.resource); }

    // The base class's, of which some compilers believe that its blocks never grow: one that is to, by try_resize,
    // must not come through a std::pmr::memory_resource *. Any thread.
    [[nodiscard]] void *allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t))
    {
        return do_allocate(bytes, alignment);
    }

    // The base class's, and noexcept. Nothing is freed; any thread.
    void deallocate(void *ptr, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept
    {
        std::pmr::memory_resource::deallocate(ptr, bytes, alignment);
    }

    // Needs external synchronization, as reset does: no other thread may be inside any call.
    void release() noexcept { tsmbr_release(&wrapped_.resource); }

    // Forgets all blocks and keeps up to keep_bytes of chunks for reuse.
    void reset(std::size_t keep_bytes = static_cast<std::size_t>(-1)) noexcept
    {
        tsmbr_reset(&wrapped_.resource, keep_bytes);
    }

    // Sees to it that some chunk has room for so many bytes; see tsmbr_reserve. Throws std::bad_alloc if that
    // cannot be had. No other thread may be inside any call.
    void reserve(std::size_t bytes)
    {
        if (tsmbr_reserve(&wrapped_.resource, bytes) != 0)
            throw_bad_alloc();
    }

    // Any thread.
    std::pmr::memory_resource *upstream_resource() const noexcept
    {
        return static_cast<std::pmr::memory_resource *>(upstream_.context);
    }

    // A block that this class's own allocate gave, see there. Its owner's thread.
    bool try_resize(void *ptr, std::size_t old_bytes, std::size_t new_bytes) noexcept
    {
        return tsmbr_try_resize(&wrapped_.resource, ptr, old_bytes, new_bytes);
    }

    bool owns(const void *ptr) const noexcept { return tsmbr_owns(&wrapped_.resource, ptr); }

    statistics get_statistics() const noexcept
    {
        statistics s;
        tsmbr_get_statistics(&wrapped_.resource, &s);
        return s;
    }

    // Throws std::bad_alloc for a null function, or if the record cannot be allocated. The cleanup must not throw.
    void on_release(void (*cleanup)(void *), void *argument)
    {
        if (tsmbr_on_release(&wrapped_.resource, cleanup, argument) != 0)
            throw_bad_alloc();
    }

    // For the C functions that have no counterpart here.
    tsmbr_resource *native_handle() noexcept { return &wrapped_.resource; }

protected:
    // Visible to the optimizer: where the resource's type is known this is one direct call.
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        return tsmbr_allocate_or_call(&wrapped_, bytes, alignment);
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) noexcept override
    {
        detail::tell_tools(&wrapped_.resource, ptr, bytes, alignment);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

private:
    // One call's way to its upstream, and the exception it may bring back.
    struct upstream_call {
        std::pmr::memory_resource *upstream;
        std::exception_ptr thrown;
    };

    [[noreturn]] static void throw_bad_alloc()
    {
#if TSMBR_EXCEPTIONS
        throw std::bad_alloc();
#else
        std::terminate();
#endif
    }

    static options with_initial_size(std::size_t initial_size) noexcept
    {
        options wanted;
        wanted.initial_size = initial_size;
        return wanted;
    }

    static options with_buffer(void *buffer, std::size_t buffer_size) noexcept
    {
        options wanted;
        wanted.buffer = buffer;
        wanted.buffer_size = buffer_size;
        return wanted;
    }

    // C frames must not see an exception: catch it here, rethrow it below them.
    static void *call_allocate(void *context, std::size_t bytes, std::size_t alignment) noexcept
    {
        auto *const call = static_cast<upstream_call *>(context);
#if TSMBR_EXCEPTIONS
        try {
            return call->upstream->allocate(bytes, alignment);
        } catch (...) {
            call->thrown = std::current_exception();
            return nullptr;
        }
#else
        return call->upstream->allocate(bytes, alignment);
#endif
    }

    static void call_deallocate(void *context, void *ptr, std::size_t bytes, std::size_t alignment) noexcept
    {
        static_cast<upstream_call *>(context)->upstream->deallocate(ptr, bytes, alignment);
    }

    // For C callers of native_handle(), who learn of a failure from errno.
    static void *upstream_allocate_noexcept(void *context, std::size_t bytes, std::size_t alignment) noexcept
    {
        upstream_call call{static_cast<std::pmr::memory_resource *>(context), nullptr};
        return call_allocate(&call, bytes, alignment);
    }

    static void upstream_deallocate(void *context, void *ptr, std::size_t bytes, std::size_t alignment) noexcept
    {
        static_cast<std::pmr::memory_resource *>(context)->deallocate(ptr, bytes, alignment);
    }

    TSMBR_NOINLINE static void *allocate_slow(void *self, std::size_t bytes, std::size_t alignment)
    {
        return static_cast<thread_safe_monotonic_buffer_resource *>(self)->allocate_upstream(bytes, alignment);
    }

    void *allocate_upstream(std::size_t bytes, std::size_t alignment)
    {
        upstream_call call{upstream_resource(), nullptr};
        const tsmbr_upstream via = {call_allocate, call_deallocate, &call};
        if (void *const ptr = tsmbr_allocate_from(&wrapped_.resource, bytes, alignment, &via))
            return ptr;
        if (call.thrown)
            std::rethrow_exception(call.thrown);
        if (errno == ENOMEM && !limited_) {
            // Too large for any chunk. What such a request throws is the upstream's to say.
            if (void *const ptr = call.upstream->allocate(bytes, alignment))
                call.upstream->deallocate(ptr, bytes, alignment);
        }
        throw_bad_alloc();
    }

    tsmbr_upstream upstream_;
    bool limited_ = false;
    tsmbr_wrapped wrapped_;
};

// An upstream of tsmbr.h as a std::pmr::memory_resource.
class upstream_memory : public std::pmr::memory_resource
{
public:
    // The upstream must outlive this.
    explicit upstream_memory(const tsmbr_upstream *upstream) noexcept : upstream_(upstream) {}

protected:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        if (void *const ptr = upstream_->allocate(upstream_->context, at_least_one(bytes), alignment))
            return ptr;
#if TSMBR_EXCEPTIONS
        throw std::bad_alloc();
#else
        std::terminate();
#endif
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) override
    {
        upstream_->deallocate(upstream_->context, ptr, at_least_one(bytes), alignment);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }

private:
    static constexpr std::size_t at_least_one(std::size_t bytes) noexcept
    {
        return bytes == 0 ? 1 : bytes;
    }

    const tsmbr_upstream *upstream_;
};

namespace detail
{

// One that is never destroyed: static objects may use it in their destructors.
class lasting_upstream_memory
{
public:
    explicit lasting_upstream_memory(const tsmbr_upstream *upstream) noexcept
        : memory_(::new (static_cast<void *>(storage_)) upstream_memory(upstream))
    {
    }
    std::pmr::memory_resource *get() const noexcept { return memory_; }

private:
    alignas(upstream_memory) unsigned char storage_[sizeof(upstream_memory)] = {};
    std::pmr::memory_resource *memory_;
};

} // namespace detail

// For a constructor's upstream: chunks on huge pages, with their pages there already, or between pages that nobody
// can touch. See tsmbr_system_upstream, tsmbr_prefault_upstream and tsmbr_guarded_upstream. What a C resource has
// by default is system_memory(); the classes here have std::pmr::get_default_resource(), as standard ones do.
inline std::pmr::memory_resource *system_memory() noexcept
{
    static detail::lasting_upstream_memory memory(tsmbr_system_upstream());
    return memory.get();
}

inline std::pmr::memory_resource *prefault_memory() noexcept
{
    static detail::lasting_upstream_memory memory(tsmbr_prefault_upstream());
    return memory.get();
}

inline std::pmr::memory_resource *guarded_memory() noexcept
{
    static detail::lasting_upstream_memory memory(tsmbr_guarded_upstream());
    return memory.get();
}

// A lane of a shared resource as a std::pmr::memory_resource, for one thread, task or fiber at a time.
// Its blocks live as long as those of the shared resource. Before release, reset or destruction of that: forget.
// Otherwise see tsmbr_lane in tsmbr.h.
class lane_resource : public std::pmr::memory_resource
{
public:
    explicit lane_resource(thread_safe_monotonic_buffer_resource &shared) noexcept : shared_(&shared) { reopen(); }

    lane_resource(const lane_resource &) = delete;
    lane_resource &operator=(const lane_resource &) = delete;

    // Gives back what the lane did not use. Unless it was made to forget the shared resource, that must still be
    // there, and not have been released or reset since the lane was opened.
    ~lane_resource() override { tsmbr_lane_close(&lane_); }

    // Begin again with an empty lane. What the present one did not use is not given back.
    void reopen() noexcept { tsmbr_lane_open(&lane_, shared_->native_handle()); }

    // Leave the lane, before the shared resource is released, reset or destroyed. The next use opens it again.
    void forget() noexcept { lane_ = tsmbr_lane{}; }

    thread_safe_monotonic_buffer_resource &shared() const noexcept { return *shared_; }

    // The base class's, but its blocks may grow by the shared resource's try_resize.
    [[nodiscard]] void *allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t))
    {
        return do_allocate(bytes, alignment);
    }

protected:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        void *block;
        if (TSMBR_LIKELY(tsmbr_lane_bump(&lane_, bytes, alignment, &block)))
            return block;
        return allocate_slow(bytes, alignment);
    }

    void do_deallocate(void *ptr, std::size_t bytes, std::size_t alignment) noexcept override
    {
        detail::tell_tools(shared_->native_handle(), ptr, bytes, alignment);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

private:
    TSMBR_NOINLINE void *allocate_slow(std::size_t bytes, std::size_t alignment)
    {
        if (lane_.resource == nullptr)
            reopen();
        void *const ptr = tsmbr_lane_refill(&lane_, bytes, alignment);
        return ptr != nullptr ? ptr : shared_->allocate(bytes, alignment);
    }

    thread_safe_monotonic_buffer_resource *shared_;
    tsmbr_lane lane_;
};

} // namespace tsmbr

#undef TSMBR_NOINLINE
#undef TSMBR_TELL_TOOLS
#undef TSMBR_LIKELY
#undef TSMBR_EXCEPTIONS

#endif // <memory_resource>
#endif
