// report.hpp - the table that a run ends with.
#ifndef TSMBR_BENCH_REPORT_HPP
#define TSMBR_BENCH_REPORT_HPP

#include <memory>
#include <string>

#include <benchmark/benchmark.h>

// The counter each run reports; the table's header line defines it.
constexpr const char *cell_counter = "ns_per_block";

// baseline: the row the others are divided by. control: the row that shows what the machine gave.
std::unique_ptr<benchmark::BenchmarkReporter> make_table(const std::string &command, const std::string &baseline,
                                                         const std::string &control);

#endif
