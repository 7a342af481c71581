// rounds.hpp - threads that start together, work, and meet again, with the clock on the work.
//
//     all threads   | barrier | allocate, write, finish | barrier |
//     thread 0                                                    | reset, add up |
//                             |<------- clock --------->|         |<----->|
//
// The clock runs from the moment the first thread starts to the moment the last one is done, read by
// the threads themselves, whatever a barrier costs.
//
// All rounds do the same work, so where one takes longer than another the machine was elsewhere: of
// their times the mean of the middle half counts.
#ifndef TSMBR_BENCH_ROUNDS_HPP
#define TSMBR_BENCH_ROUNDS_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <thread>
#include <vector>

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "memory.hpp"

namespace bench
{

using clock_type = std::chrono::steady_clock;

inline unsigned cores()
{
    return std::max(1u, std::thread::hardware_concurrency());
}

inline double seconds_since(clock_type::time_point start)
{
    return std::chrono::duration<double>(clock_type::now() - start).count();
}

// A core of its own for each thread, where there are as many, as long as this lives: a new thread may
// begin on its maker's core, and the system takes milliseconds to spread them.
class own_core
{
public:
    own_core(unsigned thread, unsigned threads)
    {
#if defined(__linux__)
        moved_ = threads <= cores() && pthread_getaffinity_np(pthread_self(), sizeof before_, &before_) == 0;
        for (std::size_t cpu = 0; moved_ && cpu < CPU_SETSIZE; ++cpu)
            if (CPU_ISSET(cpu, &before_) && thread-- == 0) {
                cpu_set_t only;
                CPU_ZERO(&only);
                CPU_SET(cpu, &only);
                (void)pthread_setaffinity_np(pthread_self(), sizeof only, &only);
                break;
            }
#else
        (void)thread;
        (void)threads;
#endif
    }
    own_core(const own_core &) = delete;
    own_core &operator=(const own_core &) = delete;
    ~own_core()
    {
#if defined(__linux__)
        if (moved_)
            (void)pthread_setaffinity_np(pthread_self(), sizeof before_, &before_);
#endif
    }

private:
#if defined(__linux__)
    cpu_set_t before_;
    bool moved_;
#endif
};

// Where each thread can have a core it polls, and gives way if that lasts: waking a thread up takes as
// long as many a round. Where threads take turns it sleeps: polls would take turns with the work.
class barrier
{
public:
    explicit barrier(unsigned count) : count_(count), polls_(count <= cores())
    {
        (void)pthread_barrier_init(&sleepers_, nullptr, count);
    }
    barrier(const barrier &) = delete;
    barrier &operator=(const barrier &) = delete;
    ~barrier() { (void)pthread_barrier_destroy(&sleepers_); }

    void wait()
    {
        if (!polls_) {
            (void)pthread_barrier_wait(&sleepers_);
            return;
        }
        // Relaxed: the phase cannot move on before this thread has arrived, and it saw the last move, or was made
        // after it.
        const unsigned seen = phase_.load(std::memory_order_relaxed);
        // Release: what this thread did is the last one's to publish. Acquire, in the last one: it has it all.
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
            // Relaxed: the others arrive again only after the store below, which they acquire.
            arrived_.store(0, std::memory_order_relaxed);
            // Release, to the polls' acquire: all that all did before the barrier.
            phase_.store(seen + 1, std::memory_order_release);
            return;
        }
        // Acquire: see the store above.
        for (unsigned poll = 0; phase_.load(std::memory_order_acquire) == seen; ++poll)
            if (poll >= 1u << 16)
                std::this_thread::yield();
    }

private:
    const unsigned count_;
    const bool polls_;
    pthread_barrier_t sleepers_;
    alignas(apart) std::atomic<unsigned> arrived_{0};
    alignas(apart) std::atomic<unsigned> phase_{0};
};

// The mean of the middle half: without the largest and the smallest quarter.
inline double middle_mean(std::vector<double> figures)
{
    std::sort(figures.begin(), figures.end());
    const auto quarter = static_cast<std::ptrdiff_t>(figures.size() / 4);
    const auto from = figures.begin() + quarter;
    const auto to = figures.end() - quarter;
    return std::accumulate(from, to, 0.0) / static_cast<double>(to - from);
}

// It takes hundreds of rounds until each core's cache has what its thread will write.
constexpr double warm_up = 2;

// Runs work(thread) in all threads and then reset() in one, in rounds, until `enough` seconds were on
// the clock. Before that come `unseen` rounds, and as many as take warm_up times `enough`. Nobody but
// the threads runs meanwhile. Returns seconds of a round.
template <class Work, class Reset>
class round_runner
{
public:
    round_runner(unsigned threads, unsigned unseen, double enough, Work work, Reset reset)
        : work_(work), reset_(reset), unseen_(unseen), enough_(enough), together_(threads), watches_(threads)
    {
    }

    double run()
    {
        std::vector<std::thread> others;
        for (unsigned thread = 1; thread < watches_.size(); ++thread)
            others.emplace_back([this, thread] { take_part(thread); });
        take_part(0);
        for (std::thread &other : others)
            other.join();
        return middle_mean(rounds_);
    }

private:
    struct alignas(apart) watch {
        clock_type::time_point start;
        clock_type::time_point done;
    };

    void take_part(unsigned thread)
    {
        const own_core here(thread, static_cast<unsigned>(watches_.size()));
        for (;;) {
            together_.wait();
            if (over_) // written before the barrier
                return;
            watches_[thread].start = clock_type::now();
            work_(thread);
            watches_[thread].done = clock_type::now();
            together_.wait();
            if (thread == 0)
                close_round();
        }
    }

    // The others are on their way to the next barrier.
    void close_round()
    {
        const clock_type::time_point reset_start = clock_type::now();
        reset_();
        const double reset_seconds = seconds_since(reset_start);
        clock_type::time_point start = watches_[0].start;
        clock_type::time_point done = watches_[0].done;
        for (const watch &w : watches_) {
            start = std::min(start, w.start);
            done = std::max(done, w.done);
        }
        const double seconds = reset_seconds + std::chrono::duration<double>(done - start).count();
        if (unseen_ > 0 || off_the_clock_ < warm_up * enough_) {
            unseen_ -= unseen_ > 0 ? 1 : 0;
            off_the_clock_ += seconds;
            return;
        }
        rounds_.push_back(seconds);
        on_the_clock_ += rounds_.back();
        over_ = on_the_clock_ >= enough_;
    }

    Work work_;
    Reset reset_;
    unsigned unseen_;
    double enough_;
    barrier together_;
    std::vector<watch> watches_;
    std::vector<double> rounds_; // seconds of each
    double on_the_clock_ = 0;
    double off_the_clock_ = 0;
    bool over_ = false;
};

template <class Work, class Reset>
double run_rounds(unsigned threads, unsigned unseen, double enough, Work work, Reset reset)
{
    return round_runner<Work, Reset>(threads, unseen, enough, work, reset).run();
}

} // namespace bench

#endif
