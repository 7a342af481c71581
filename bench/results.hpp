// results.hpp - the figures of all passes, and what the report and the targets ask of them.
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

// By pass: the whole list runs once in each, contenders of a cell right after each other. So the clock of a pass
// is that of its neighbours, and ratios are taken within passes. What could not be measured is missing there.
class results
{
public:
    using by_pass = std::map<unsigned, double>;

    void add(unsigned pass, const shape &s, const std::string &row, double ns) { cells_[s][row][pass] = ns; }

    // A quantile over the passes. 0: not measured
    double at(const shape &s, const std::string &row, double part = 0.5) const
    {
        std::vector<double> figures;
        for (const auto &[pass, ns] : figures_of(s, row))
            figures.push_back(ns);
        return quantile(figures, part);
    }

    // A quantile of the ratios of those passes that have both. 0: none has
    double ratio(const shape &above, const std::string &of, const shape &below, const std::string &to,
                 double part = 0.5) const
    {
        std::vector<double> ratios;
        const by_pass &others = figures_of(below, to);
        for (const auto &[pass, ns] : figures_of(above, of))
            if (const auto other = others.find(pass); other != others.end())
                ratios.push_back(ns / other->second);
        return quantile(ratios, part);
    }

    const std::map<shape, std::map<std::string, by_pass>> &cells() const { return cells_; }

private:
    const by_pass &figures_of(const shape &s, const std::string &row) const
    {
        static const by_pass none;
        const auto cell = cells_.find(s);
        if (cell == cells_.end())
            return none;
        const auto found = cell->second.find(row);
        return found == cell->second.end() ? none : found->second;
    }

    std::map<shape, std::map<std::string, by_pass>> cells_;
};

// What is counted, not timed: lines of "name value" by name.
using counts = std::map<std::string, double>;

} // namespace bench

#endif
