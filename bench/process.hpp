// process.hpp - this program started again, for what wants a fresh process.
#ifndef TSMBR_BENCH_PROCESS_HPP
#define TSMBR_BENCH_PROCESS_HPP

#include <string>
#include <vector>

namespace bench
{

// Runs a program and returns what it writes to stdout; empty if it failed.
std::string output_of(const std::vector<std::string> &command);

// The directory this program is in.
std::string program_directory();

} // namespace bench

#endif
