// report.cpp - facts of the machine, tables of medians, and the warning.
#include "report.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include "tsmbr.h"

namespace
{

// Two threads of the control may take this many times what one takes; past it they had no two cores.
constexpr double control_tolerance = 1.25;

std::string cpu_model()
{
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, 10, "model name") == 0)
            return line.substr(line.find(':') + 2);
    return "CPU model unknown";
}

// Collects the runs, which come in random order, and prints one table for each block size at the end.
class table_reporter : public benchmark::BenchmarkReporter
{
public:
    table_reporter(const std::string &command, const std::string &baseline, const std::string &control)
        : command_(command), baseline_(baseline), control_(control)
    {
    }
    bool ReportContext(const Context &context) override;
    void ReportRuns(const std::vector<Run> &runs) override;
    void Finalize() override;

private:
    double median(const std::string &row, int bytes, int threads) const; // 0: not measured
    void print_table(int bytes) const;
    void warn() const;

    const std::string command_;
    const std::string baseline_;
    const std::string control_;
    std::map<std::int64_t, std::string> rows_; // by order of registration
    std::set<int> sizes_;
    std::set<int> threads_;
    std::map<std::tuple<std::string, int, int>, std::vector<double>> runs_;
};

bool table_reporter::ReportContext(const Context &)
{
    const int version = tsmbr_version();
    std::printf("machine   %u cores, %s\n", std::thread::hardware_concurrency(), cpu_model().c_str());
#if defined(__clang__)
    std::printf("compiler  %s\n", __VERSION__);
#else
    std::printf("compiler  g++ %s\n", __VERSION__);
#endif
    std::printf("library   tsmbr %d.%d.%d\n", version / 10000, version / 100 % 100, version % 100);
    std::printf("command   %s\n", command_.c_str());
    std::fflush(stdout);
    return true;
}

void table_reporter::ReportRuns(const std::vector<Run> &runs)
{
    for (const Run &run : runs) {
        const auto counter = run.counters.find(cell_counter);
        if (run.run_type != Run::RT_Iteration || run.error_occurred || counter == run.counters.end())
            continue;
        const std::string &row = run.run_name.function_name;
        const int bytes = std::stoi(run.run_name.args);
        const int threads = static_cast<int>(run.threads);
        rows_[run.family_index] = row;
        sizes_.insert(bytes);
        threads_.insert(threads);
        runs_[{row, bytes, threads}].push_back(counter->second.value);
    }
}

double table_reporter::median(const std::string &row, int bytes, int threads) const
{
    const auto found = runs_.find({row, bytes, threads});
    if (found == runs_.end())
        return 0;
    std::vector<double> sorted = found->second;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t middle = sorted.size() / 2;
    return sorted.size() % 2 != 0 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

void table_reporter::print_table(int bytes) const
{
    std::printf("\n%-22s", (std::to_string(bytes) + "-byte blocks").c_str());
    for (const int threads : threads_)
        std::printf("%10d thread%s  ", threads, threads == 1 ? " " : "s");
    for (const auto &[order, row] : rows_) {
        std::printf("\n%-22s", row.c_str());
        for (const int threads : threads_) {
            const double ns = median(row, bytes, threads);
            const double base = median(baseline_, bytes, threads);
            char ratio[32] = "";
            if (ns > 0 && base > 0)
                std::snprintf(ratio, sizeof ratio, "x%.2f", ns / base);
            if (ns > 0)
                std::printf("%10.2f %8s", ns, ratio);
            else
                std::printf("%10s %8s", "-", "");
        }
    }
    std::printf("\n");
}

void table_reporter::warn() const
{
    double worst = 0;
    for (const int bytes : sizes_) {
        const double alone = median(control_, bytes, 1);
        if (alone > 0)
            worst = std::max(worst, median(control_, bytes, 2) / alone);
    }
    if (std::thread::hardware_concurrency() < 2)
        std::printf("\nWARNING: one core. Threads took turns: columns past the first show no contention.\n");
    else if (worst > control_tolerance)
        std::printf("\nWARNING: two threads of the control took %.2f times what one takes: the machine did not\n"
                    "give two cores. Do not quote these figures.\n",
                    worst);
    else if (worst <= 0)
        std::printf("\nWARNING: the control did not run with 1 and 2 threads: nothing shows that the machine\n"
                    "gave two cores.\n");
}

void table_reporter::Finalize()
{
    if (runs_.empty())
        return;
    std::printf("\nns = wall time of a round x min(threads, cores) / blocks of all threads: the same in every\n"
                "     column for who scales perfectly\n"
                "x  = ns / ns of %s with as many threads\n",
                baseline_.c_str());
    std::printf("Medians of %zu repetitions.\n", runs_.begin()->second.size());
    for (const int bytes : sizes_)
        print_table(bytes);
    warn();
}

} // namespace

std::unique_ptr<benchmark::BenchmarkReporter> make_table(const std::string &command, const std::string &baseline,
                                                         const std::string &control)
{
    return std::make_unique<table_reporter>(command, baseline, control);
}
