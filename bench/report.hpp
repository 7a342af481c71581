// report.hpp - what a run prints.
#ifndef TSMBR_BENCH_REPORT_HPP
#define TSMBR_BENCH_REPORT_HPP

#include <string>
#include <vector>

#include "contender_list.hpp"
#include "model.hpp"
#include "results.hpp"

namespace bench
{

void print_machine(const std::string &command, const std::vector<std::string> &missing);

// Medians over the passes: of a cell's figures, and next to that of their ratios to the table's mark.
void print_tables(const results &r, const std::vector<contender_entry> &rows);

// In which cells who is faster than `ours`, or than `also`: libraries only, no controls.
void print_rivals(const results &r, const std::vector<contender_entry> &rows, const std::string &ours,
                  const std::string &also);

// Says so if two threads of the control do not take what one takes: then nothing here is to be quoted.
void print_warning(const results &r);

// The wanted ratios, and whether they hold.
void print_targets(const results &r, const counts &c, const std::vector<contender_entry> &rows);

// The models of both ways to allocate: lanes, and the compare-and-swap that all share. Printed next to what was
// measured on the cores there are.
struct models {
    model lanes;
    model shared;
    bool known;
};
models make_models(const results &r, const counts &c);
void print_models(const results &r, const models &m, const counts &c);

// Every cell and the model, for plots: DIRECTORY/results.tsv, DIRECTORY/model.tsv.
bool write_data(const std::string &directory, const results &r, const models &m);

// Cells that targets are computed from.
inline shape warm_cell(unsigned threads)
{
    return {workload::warm, 64, 8, threads, 0};
}
// Of as much memory as 64 threads have, to be compared with them.
inline shape warm_cell_like_64(unsigned threads)
{
    return {workload::warm, 64, 8, threads, 64};
}
// The same as warm_cell, every line of the blocks written.
inline shape written_cell(unsigned threads)
{
    return {workload::written, 64, 8, threads, 0};
}
inline shape cold_cell()
{
    return {workload::cold, 32, 8, 1, 512};
}

} // namespace bench

#endif
