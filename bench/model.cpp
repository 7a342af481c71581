// model.cpp - the queue's recursion, and the one figure it needs measured.
#include "model.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>

#include "rounds.hpp"

namespace bench
{

double model_throughput(const model &m, unsigned n)
{
    if (m.visits <= 0)
        return n / m.own_ns;
    const double away = m.own_ns / m.visits;
    double in_line = 0;
    double rate = 0;
    for (unsigned k = 1; k <= n; ++k) {
        const double stay = m.transfer_ns * (1 + in_line);
        rate = k / (away + stay);
        in_line = rate * stay;
    }
    return rate / m.visits;
}

namespace
{

double one_transfer_ns()
{
    constexpr std::size_t swaps = 50000; // of each thread
    struct alignas(apart) line {
        std::atomic<std::size_t> word{0};
    } shared;
    const auto work = [&](unsigned) {
        for (std::size_t i = 0; i < swaps; ++i) {
            std::size_t seen = shared.word.load(std::memory_order_relaxed);
            while (!shared.word.compare_exchange_strong(seen, seen + 1, std::memory_order_relaxed))
                ;
        }
    };
    const round_times t = run_rounds(2, 1, 0, work, [] {});
    return t.seconds * 1e9 / (2.0 * swaps);
}

} // namespace

double measure_transfer_ns()
{
    std::array<double, 7> each;
    for (double &one : each)
        one = one_transfer_ns();
    std::sort(each.begin(), each.end());
    return each[each.size() / 2];
}

} // namespace bench
