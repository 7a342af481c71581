// model.hpp - what more cores than there are would give. A model, not a measurement.
//
// A block costs its thread p ns of its own work, and now and then the threads need one and the same
// cache line: s times per block, on average. One thread has the line at a time, and to bring it from
// another core takes t ns. p and t are measured in the same run, s is counted (count.c).
//
// Who had the line last was oneself one time in n, and then it is here already: a visit takes t (1 - 1/n)
// on average, nothing on one core, where p has what the visit's own instruction costs.
//
// That is the machine repairman's queue: n threads, each away from the line for z = p / s ns, then in
// line for it, served t (1 - 1/n) ns. Mean values, for k = 1 ... n:
//
//     r(k) = t * (1 - 1/n) * (1 + q(k - 1))   time in line and on the line
//     x(k) = k / (z + r(k))                   visits per ns
//     q(k) = x(k) * r(k)                      threads in line,  q(0) = 0
//
// and x(n) / s blocks per ns. It is never more than n / p, nor than 1 / (s * t * (1 - 1/n)).
//
// t is what a block of raw_cas, which does nothing but visit the line and write, takes each of two cores: with
// one at a time on the line, they are done with a visit every t / 2 ns. It has in it that the visit, a locked
// instruction, waits until the write to the block before is done. Two threads that only passed a word to
// and fro needed 28 ns where this was 94, and the model then three times too much for the shared path.
#ifndef TSMBR_BENCH_MODEL_HPP
#define TSMBR_BENCH_MODEL_HPP

namespace bench
{

struct model {
    double own_ns;      // p
    double visits;      // s; 0: nothing is shared
    double transfer_ns; // t
};

// Blocks per nanosecond of all cores together.
double model_throughput(const model &m, unsigned n);

} // namespace bench

#endif
