// model.cpp - the queue's recursion, and the one figure it needs measured.
#include "model.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>

#include "rounds.hpp"

namespace bench
{

double model_throughput(const model &m, unsigned n)
{
    if (m.visits <= 0)
        return n / m.own_ns;
    const double away = m.own_ns / m.visits;
    const double visit = m.transfer_ns * (1 - 1.0 / n);
    double in_line = 0;
    double rate = 0;
    for (unsigned k = 1; k <= n; ++k) {
        const double stay = visit * (1 + in_line);
        rate = k / (away + stay);
        in_line = rate * stay;
    }
    return rate / m.visits;
}

namespace
{

// Two threads pass one word to and fro, each by the compare-and-swap that the other has to wait for: no
// swap succeeds without the line having come over.
double one_transfer_ns()
{
    constexpr std::size_t swaps = 4000; // of each thread
    struct alignas(apart) line {
        std::atomic<std::size_t> word{0};
    } shared;
    const auto work = [&](unsigned thread) {
        for (std::size_t turn = thread; turn < 2 * swaps; turn += 2) {
            std::size_t seen = turn;
            // Relaxed, both ways: nothing but the word itself is handed over.
            for (unsigned tries = 1; !shared.word.compare_exchange_strong(
                     seen, turn + 1, std::memory_order_relaxed, std::memory_order_relaxed);
                 ++tries) {
                seen = turn;
                if (tries % 4096 == 0) // the other may not be running
                    std::this_thread::yield();
            }
        }
    };
    const auto reset = [&] { shared.word.store(0, std::memory_order_relaxed); }; // at rest, a barrier follows
    return run_rounds(2, 1, 0, work, reset) * 1e9 / (2.0 * swaps);
}

} // namespace

double measure_transfer_ns()
{
    double least = one_transfer_ns();
    for (int again = 0; again < 20; ++again)
        least = std::min(least, one_transfer_ns());
    return least;
}

} // namespace bench
