// results.hpp - the figures of all repetitions, and what the report and the targets ask of them.
#ifndef TSMBR_BENCH_RESULTS_HPP
#define TSMBR_BENCH_RESULTS_HPP

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "shape.hpp"

namespace bench
{

// A quantile of figures, between neighbours in proportion; 0 if there are none.
inline double quantile(std::vector<double> figures, double part)
{
    if (figures.empty())
        return 0;
    std::sort(figures.begin(), figures.end());
    const double at = part * static_cast<double>(figures.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, figures.size() - 1);
    return figures[below] + (figures[above] - figures[below]) * (at - static_cast<double>(below));
}

class results
{
public:
    void add(const shape &s, const std::string &row, double ns) { cells_[s][row].push_back(ns); }

    // 0: not measured
    double at(const shape &s, const std::string &row, double part = 0.5) const
    {
        const auto cell = cells_.find(s);
        if (cell == cells_.end())
            return 0;
        const auto found = cell->second.find(row);
        return found == cell->second.end() ? 0 : quantile(found->second, part);
    }
    const std::map<shape, std::map<std::string, std::vector<double>>> &cells() const { return cells_; }

private:
    std::map<shape, std::map<std::string, std::vector<double>>> cells_;
};

// What is counted, not timed: lines of "name value" by name.
using counts = std::map<std::string, double>;

} // namespace bench

#endif
