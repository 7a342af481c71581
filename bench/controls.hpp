// controls.hpp - what the machine gives: loops that allocate nothing and share as little or as much as is
// possible.
#ifndef TSMBR_BENCH_CONTROLS_HPP
#define TSMBR_BENCH_CONTROLS_HPP

#include <atomic>
#include <memory>

#include "contenders.hpp"

namespace bench
{

// The least a thread can do: move a pointer of its own, and call a function where the memory ends. It is the
// textbook's: the pointer in memory, as where a resource is passed around, and no word about sizes and alignments
// that are none, which a lane refuses. How this row scales is what the machine gave.
//
// Two variants say what memory costs, whoever hands it out:
//
// moved  each round a thread has the part that another one had in the round before: it writes where another core
//        has just written
// huge   fresh memory on huge pages, in one piece for each thread: what is left is the kernel's work and the
//        writes
enum class raw { own, moved, huge };

template <raw Kind>
class raw_bump_of : public nothing_owed
{
public:
    static constexpr const char *name = Kind == raw::own     ? "raw_bump"
                                        : Kind == raw::moved ? "raw_bump_moved"
                                                             : "raw_bump_huge";
    static constexpr bool shared = false;
    explicit raw_bump_of(const environment &e)
        : e_own_(e.own_memory), piece_(Kind == raw::huge ? e.round_bytes / e.threads + mebibyte : mebibyte)
    {
        for (unsigned thread = 0; thread < e.threads; ++thread) {
            seat &s = seats_.emplace_back();
            s.as_pmr = std::make_unique<resource_of<call>>(call{this, &s});
            if (!e.own_memory) {
                const part p = part_of(e, thread);
                s.pieces.push_back({p.begin, p.bytes});
            }
        }
    }
    raw_bump_of(const raw_bump_of &) = delete;
    raw_bump_of &operator=(const raw_bump_of &) = delete;
    ~raw_bump_of()
    {
        for (seat &s : seats_)
            for (const part &p : s.pieces)
                if (e_own_)
                    source()->deallocate(nullptr, p.begin, p.bytes, apart);
    }
    auto allocator(unsigned thread)
    {
        seat *const s = &seats_[Kind == raw::moved ? (thread + round_) % seats_.size() : thread];
        return [this, s](std::size_t bytes, std::size_t alignment) { return take(*s, bytes, alignment); };
    }
    void reset()
    {
        ++round_;
        for (seat &s : seats_) {
            s.cursor = s.end = 0;
            s.used = 0;
        }
    }
    std::pmr::memory_resource *resource(unsigned thread) { return any(seats_[thread].as_pmr.get()); }

private:
    static constexpr std::size_t mebibyte = std::size_t{1} << 20;
    struct seat;
    struct call {
        raw_bump_of *self;
        seat *s;
        void *operator()(std::size_t bytes, std::size_t alignment) const
        {
            return self->take(*s, bytes, alignment);
        }
    };
    struct alignas(apart) seat {
        std::uintptr_t cursor = 0;
        std::uintptr_t end = 0;
        std::size_t used = 0; // pieces before the present one, and that
        std::vector<part> pieces;
        std::unique_ptr<resource_of<call>> as_pmr;
    };
    static const tsmbr_upstream *source()
    {
        return Kind == raw::huge ? tsmbr_system_upstream() : tsmbr_malloc_upstream();
    }
    void *take(seat &s, std::size_t bytes, std::size_t alignment)
    {
        const std::uintptr_t at = align_up_address(s.cursor, alignment);
        if (__builtin_expect(at + bytes > s.end, 0))
            return refill(s, bytes, alignment);
        s.cursor = at + bytes;
        return reinterpret_cast<void *>(at);
    }
    static std::uintptr_t align_up_address(std::uintptr_t at, std::size_t alignment)
    {
        return (at + alignment - 1) & ~(std::uintptr_t{alignment} - 1);
    }
    __attribute__((__noinline__, __cold__)) void *refill(seat &s, std::size_t bytes, std::size_t alignment)
    {
        if (s.used == s.pieces.size())
            s.pieces.push_back({static_cast<unsigned char *>(source()->allocate(nullptr, piece_, apart)), piece_});
        const part &p = s.pieces[s.used++];
        if (p.begin == nullptr || p.bytes < bytes + alignment)
            std::abort();
        s.cursor = reinterpret_cast<std::uintptr_t>(p.begin);
        s.end = s.cursor + p.bytes;
        return take(s, bytes, alignment);
    }

    std::deque<seat> seats_;
    unsigned round_ = 0;
    bool e_own_;
    std::size_t piece_; // bytes asked for at once
};

using raw_bump = raw_bump_of<raw::own>;
using raw_bump_moved = raw_bump_of<raw::moved>;
using raw_bump_huge = raw_bump_of<raw::huge>;

// The floor under every shared path: one compare-and-swap on one word, and nothing besides. Warm memory only.
class raw_cas : public nothing_owed
{
public:
    static constexpr const char *name = "raw_cas";
    static constexpr bool shared = true;
    explicit raw_cas(const environment &e)
        : begin_(reinterpret_cast<std::uintptr_t>(region())), end_(begin_ + part_of(e, 0).bytes * e.threads)
    {
        reset();
    }
    auto allocator(unsigned) { return call{this}; }
    void reset() { cursor_.store(begin_, std::memory_order_relaxed); } // relaxed: at rest, a barrier follows
    std::pmr::memory_resource *resource(unsigned) { return any(&as_pmr_); }

private:
    struct call {
        raw_cas *self;
        void *operator()(std::size_t bytes, std::size_t alignment) const { return self->take(bytes, alignment); }
    };
    void *take(std::size_t bytes, std::size_t alignment)
    {
        // Relaxed: a stale value fails the compare-and-swap.
        std::uintptr_t seen = cursor_.load(std::memory_order_relaxed);
        for (;;) {
            // Success, acquire: the least that a shared path needs, whose bytes others may have had before.
            // Failure, relaxed: only another try.
            const std::uintptr_t at = (seen + alignment - 1) & ~(std::uintptr_t{alignment} - 1);
            if (at + bytes > end_)
                std::abort();
            if (cursor_.compare_exchange_weak(seen, at + bytes, std::memory_order_acquire,
                                              std::memory_order_relaxed))
                return reinterpret_cast<void *>(at);
        }
    }

    const std::uintptr_t begin_;
    const std::uintptr_t end_;
    alignas(apart) std::atomic<std::uintptr_t> cursor_{0};
    alignas(apart) resource_of<call> as_pmr_{call{this}};
};

} // namespace bench

#endif
