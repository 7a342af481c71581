// report.cpp - the machine, the tables, the warning.
#include "report.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "rounds.hpp"
#include "tsmbr.h"

namespace bench
{

namespace
{

// Two threads of the control may take this many times what one takes; past it they had no two cores.
constexpr double control_tolerance = 1.25;
constexpr const char *control = "raw_bump";

std::string first_line(const char *path, const char *after)
{
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, std::string(after).size(), after) == 0)
            return line;
    return {};
}

std::string cpu_model()
{
    const std::string line = first_line("/proc/cpuinfo", "model name");
    return line.empty() ? "CPU model unknown" : line.substr(line.find(':') + 2);
}

// The one word in brackets.
std::string huge_pages()
{
    const std::string line = first_line("/sys/kernel/mm/transparent_hugepage/enabled", "");
    const std::size_t open = line.find('[');
    return open == std::string::npos ? "unknown" : line.substr(open + 1, line.find(']') - open - 1);
}

// What a table's ratios are to.
const char *mark_of(workload w)
{
    return w == workload::index ? "glibc_malloc" : "pmr_private";
}

std::string title_of(const shape &s)
{
    const std::string size = s.bytes == mixed_sizes ? "mixed sizes" : std::to_string(s.bytes) + " bytes";
    switch (s.what) {
    case workload::warm:
        return "warm, " + size + ", aligned to " + std::to_string(s.alignment) +
               (s.extent != 0 ? ", " + std::to_string(s.extent) + " MiB a round" : "");
    case workload::cold:
        return "cold, " + size + ", " + std::to_string(s.extent) + " MiB";
    case workload::frame:
        return "frames of 1 MiB a thread, " + size + (s.extent != 0 ? ", told beforehand" : "");
    case workload::containers:
        return "std::pmr map of strings to vectors, per insertion";
    default:
        return s.extent != 0 ? "word index of /usr/include/c++, per block"
                             : "word index of /usr/include, per block";
    }
}

void print_cell(double ns, double mark)
{
    if (ns <= 0)
        std::printf("%18s", "-");
    else if (mark <= 0)
        std::printf("%10.2f%8s", ns, "");
    else if (ns / mark < 100)
        std::printf("%10.2f  x%-5.2f", ns, ns / mark);
    else
        std::printf("%10.1f  x%-5.0f", ns, ns / mark);
}

void print_table(const results &r, const std::vector<contender_entry> &rows, const std::vector<shape> &columns)
{
    std::printf("\n%s\n%-20s", title_of(columns.front()).c_str(), "");
    for (const shape &s : columns)
        std::printf("%9u thread%-2s", s.threads, s.threads == 1 ? "" : "s");
    std::printf("\n");
    for (const contender_entry &row : rows) {
        bool any = false;
        for (const shape &s : columns)
            any = any || r.at(s, row.name) > 0;
        if (!any)
            continue;
        std::printf("%-20s", row.name.c_str());
        for (const shape &s : columns)
            print_cell(r.at(s, row.name), r.at(s, mark_of(s.what)));
        std::printf("\n");
    }
}

// How far the middle half of a cell's repetitions reaches, in parts of the median.
void print_spread(const results &r)
{
    std::vector<double> spreads;
    std::size_t fewest = 0;
    for (const auto &[s, rows] : r.cells())
        for (const auto &[row, figures] : rows) {
            fewest = fewest == 0 ? figures.size() : std::min(fewest, figures.size());
            if (r.at(s, row) > 0)
                spreads.push_back((r.at(s, row, 0.75) - r.at(s, row, 0.25)) / r.at(s, row));
        }
    std::printf(
        "\nMedians of %zu repetitions in random order. The middle half of a cell's repetitions spans %.0f %% of\n"
        "its median in a typical cell, %.0f %% in one of ten.\n",
        fewest, 100 * quantile(spreads, 0.5), 100 * quantile(spreads, 0.9));
}

// Rows that are no way to get memory from somewhere.
bool is_control(const std::string &row)
{
    return row.compare(0, 4, "raw_") == 0;
}

} // namespace

void print_machine(const std::string &command, const std::vector<std::string> &missing)
{
    const int version = tsmbr_version();
    std::printf("machine   %u cores, %s; transparent huge pages: %s\n", cores(), cpu_model().c_str(),
                huge_pages().c_str());
#if defined(__clang__)
    std::printf("compiler  %s\n", __VERSION__);
#else
    std::printf("compiler  g++ %s\n", __VERSION__);
#endif
    std::printf("library   tsmbr %d.%d.%d\n", version / 10000, version / 100 % 100, version % 100);
    std::printf("command   %s\n", command.c_str());
    if (const char *const commit = std::getenv("BENCH_COMMIT"))
        std::printf("commit    %s\n", commit);
    for (const std::string &line : missing)
        std::printf("%s\n", line.c_str());
    (void)std::fflush(stdout);
}

void print_tables(const results &r, const std::vector<contender_entry> &rows)
{
    std::printf(
        "\nns = wall time x min(threads, cores) / blocks of all threads: what a block costs a core, the same\n"
        "     in every column for who scales perfectly\n"
        "x  = ns / ns of %s with as many threads; in the word index, of %s\n",
        mark_of(workload::warm), mark_of(workload::index));
    std::vector<shape> columns;
    for (const auto &cell : r.cells()) {
        const shape &s = cell.first;
        if (!columns.empty() && title_of(columns.front()) != title_of(s)) {
            print_table(r, rows, columns);
            columns.clear();
        }
        columns.push_back(s);
    }
    if (!columns.empty())
        print_table(r, rows, columns);
    print_spread(r);
}

void print_rivals(const results &r, const std::vector<contender_entry> &rows, const std::string &ours)
{
    constexpr double tie = 1.05; // less is not told apart from noise
    std::printf("\nWho is faster than %s by more than %.0f %%, and how many times\n", ours.c_str(),
                100 * (tie - 1));
    bool any = false;
    for (const auto &cell : r.cells()) {
        const double ns = r.at(cell.first, ours);
        std::string faster;
        for (const contender_entry &row : rows) {
            const double theirs = r.at(cell.first, row.name);
            if (theirs <= 0 || ns < tie * theirs || is_control(row.name) || row.name.compare(0, 6, "tsmbr_") == 0)
                continue;
            char times[32];
            (void)std::snprintf(times, sizeof times, " %.2f", ns / theirs);
            faster += (faster.empty() ? "" : ", ") + row.name + times;
        }
        if (faster.empty())
            continue;
        any = true;
        std::printf("  %-60s%3u thread%-3s%s\n", title_of(cell.first).c_str(), cell.first.threads,
                    cell.first.threads == 1 ? "" : "s", faster.c_str());
    }
    if (!any)
        std::printf("  nobody\n");
}

void print_warning(const results &r)
{
    double worst = 0;
    std::string bad; // a line each
    for (const auto &cell : r.cells()) {
        shape s = cell.first;
        if (s.what != workload::warm || s.threads != 1 || s.extent != 0)
            continue;
        const double alone = r.at(s, control);
        s.threads = 2;
        const double ratio = alone > 0 ? r.at(s, control) / alone : 0;
        worst = std::max(worst, ratio);
        if (ratio > control_tolerance)
            bad += "  " + title_of(s) + ": " + std::to_string(ratio).substr(0, 4) + "\n";
    }
    if (cores() < 2)
        std::printf("\nWARNING: one core. Threads took turns: columns past the first show no contention.\n");
    else if (worst > control_tolerance)
        std::printf("\nWARNING: two threads of the control, %s, took longer than one, so many times:\n%s"
                    "There the machine did not give two cores, or not twice the memory bandwidth. Do not compare "
                    "columns.\n",
                    control, bad.c_str());
    else if (worst <= 0)
        std::printf(
            "\nWARNING: the control, %s, did not run with 1 and 2 threads: nothing shows that the machine\n"
            "gave two cores.\n",
            control);
    else
        std::printf(
            "\nThe control, %s, with two threads: at most %.2f times what one takes. There were two cores.\n",
            control, worst);
}

bool write_data(const std::string &directory, const results &r, const models &m)
{
    std::ofstream file(directory + "/results.tsv");
    file << "workload\tbytes\talignment\tthreads\textent\trow\tmedian_ns\tlow_ns\thigh_ns\n";
    for (const auto &[s, rows] : r.cells())
        for (const auto &[row, figures] : rows)
            file << name_of(s.what) << '\t' << s.bytes << '\t' << s.alignment << '\t' << s.threads << '\t'
                 << s.extent << '\t' << row << '\t' << quantile(figures, 0.5) << '\t' << quantile(figures, 0.25)
                 << '\t' << quantile(figures, 0.75) << '\n';
    std::ofstream modelled(directory + "/model.tsv");
    modelled << "cores\tlanes\tshared\n";
    for (unsigned n = 1; m.known && n <= 256; n *= 2)
        modelled << n << '\t' << 1000 * model_throughput(m.lanes, n) << '\t'
                 << 1000 * model_throughput(m.shared, n) << '\n';
    return file.good() && modelled.good();
}

} // namespace bench
