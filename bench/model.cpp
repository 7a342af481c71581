// model.cpp - the queue's recursion.
#include "model.hpp"

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

} // namespace bench
