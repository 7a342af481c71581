// contender_list.hpp - every contender that was built in, by name.
#ifndef TSMBR_BENCH_CONTENDER_LIST_HPP
#define TSMBR_BENCH_CONTENDER_LIST_HPP

#include <string>
#include <vector>

#include "shape.hpp"

namespace bench
{

struct contender_entry {
    std::string name;
    bool shared;
    bool general; // of the malloc family
    std::size_t most_alignment;
    double (*measure)(const shape &s, double enough);
    std::string row_of_so; // measured by the program over the shared library, as its row of this name; empty: not
};

// In the order of the table's rows. What is not there is named in `missing`, with its package.
std::vector<contender_entry> list_contenders(std::vector<std::string> &missing);

} // namespace bench

#endif
