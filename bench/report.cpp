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

// Two threads of the control may take this many times what one takes; past it they had no two cores. One may take
// this many times what two take; past it one had no whole core.
constexpr double control_tolerance = 1.25;
// Of a core, by the system's load average: past it the machine is not idle.
constexpr double load_tolerance = 0.5;
// Medians of fewer are not to be quoted.
constexpr std::size_t least_passes = 7;
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
        return "cold, " + size + (s.alignment != 8 ? ", aligned to " + std::to_string(s.alignment) : "") + ", " +
               std::to_string(s.extent) + " MiB";
    case workload::frame:
        return "frames of 1 MiB a thread, " + size + (s.extent != 0 ? ", told beforehand" : "");
    case workload::written:
        return "warm, " + size + ", aligned to " + std::to_string(s.alignment) + ", every line written";
    case workload::containers:
        return "std::pmr map of strings to vectors, per insertion";
    default:
        return s.extent != 0 ? "word index of /usr/include/c++, per block"
                             : "word index of /usr/include, per block";
    }
}

void print_cell(double ns, double times)
{
    if (ns <= 0)
        std::printf("%18s", "-");
    else if (times <= 0)
        std::printf("%10.2f%8s", ns, "");
    else if (times < 100)
        std::printf("%10.2f  x%-5.2f", ns, times);
    else
        std::printf("%10.1f  x%-5.0f", ns, times);
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
            print_cell(r.at(s, row.name), r.ratio(s, row.name, s, mark_of(s.what)));
        std::printf("\n");
    }
}

// How far the middle half of a cell's passes reaches, in parts of the median: of the figures, and of the ratios.
void print_spread(const results &r)
{
    std::vector<double> of_figures;
    std::vector<double> of_ratios;
    std::size_t fewest = 0;
    std::size_t most = 0;
    for (const auto &[s, rows] : r.cells())
        for (const auto &[row, figures] : rows) {
            fewest = fewest == 0 ? figures.size() : std::min(fewest, figures.size());
            most = std::max(most, figures.size());
            const std::string mark = mark_of(s.what);
            of_figures.push_back((r.at(s, row, 0.75) - r.at(s, row, 0.25)) / r.at(s, row));
            if (const double times = r.ratio(s, row, s, mark); times > 0 && row != mark)
                of_ratios.push_back((r.ratio(s, row, s, mark, 0.75) - r.ratio(s, row, s, mark, 0.25)) / times);
        }
    std::printf(
        "\nMedians of %zu passes through the whole list. The middle half of a cell's passes spans, in parts of\n"
        "the median, %.0f %% of ns and %.0f %% of x in a typical cell, %.0f %% and %.0f %% in one of ten.\n",
        fewest, 100 * quantile(of_figures, 0.5), 100 * quantile(of_ratios, 0.5), 100 * quantile(of_figures, 0.9),
        100 * quantile(of_ratios, 0.9));
    if (most < least_passes)
        std::printf("WARNING: that is fewer than %zu: neither the tables nor the targets are to be quoted.\n",
                    least_passes);
}

// Rows that are no way to get memory from somewhere.
bool is_control(const std::string &row)
{
    return row.compare(0, 4, "raw_") == 0;
}

// " 1.31", or nothing where that is no more than a tie.
std::string times_if_faster(double times)
{
    constexpr double tie = 1.05; // less is not told apart from noise
    char text[32] = "";
    if (times >= tie)
        (void)std::snprintf(text, sizeof text, "%.2f", times);
    return text;
}

// What else ran in the last minute.
void print_load()
{
    double last_minute = 0;
    if (getloadavg(&last_minute, 1) != 1)
        return;
    last_minute /= cores();
    std::printf("load      %.2f of each core, in the minute before\n", last_minute);
    if (last_minute > load_tolerance)
        std::printf(
            "WARNING: this machine is not idle, or a build has just ended: no figure here is to be quoted.\n");
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
    print_load();
    for (const std::string &line : missing)
        std::printf("%s\n", line.c_str());
    (void)std::fflush(stdout);
}

void print_tables(const results &r, const std::vector<contender_entry> &rows)
{
    std::printf(
        "\nns = wall time x min(threads, cores) / blocks of all threads: what a block costs a core, the same\n"
        "     in every column for who scales perfectly\n"
        "x  = ns / ns of %s with as many threads, in the word index of %s: the median of such\n"
        "     ratios, each of two neighbours in time\n",
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

void print_rivals(const results &r, const std::vector<contender_entry> &rows, const std::string &ours,
                  const std::string &also)
{
    std::printf("\nWho is faster than %s, how many times; in brackets, than %s\n", ours.c_str(), also.c_str());
    bool any = false;
    for (const auto &cell : r.cells()) {
        const shape &s = cell.first;
        std::string faster;
        for (const contender_entry &row : rows) {
            if (is_control(row.name) || row.name.compare(0, 6, "tsmbr_") == 0)
                continue;
            const std::string than_ours = times_if_faster(r.ratio(s, ours, s, row.name));
            const std::string than_also = times_if_faster(r.ratio(s, also, s, row.name));
            if (than_ours.empty() && than_also.empty())
                continue;
            faster += (faster.empty() ? "" : ", ") + row.name;
            faster += than_ours.empty() ? "" : " " + than_ours;
            faster += than_also.empty() ? "" : " (" + than_also + ")";
        }
        if (faster.empty())
            continue;
        any = true;
        std::printf("  %-54s%3u thread%-3s%s\n", title_of(s).c_str(), s.threads, s.threads == 1 ? "" : "s",
                    faster.c_str());
    }
    if (!any)
        std::printf("  nobody\n");
}

void print_warning(const results &r)
{
    double least = 0;
    double most = 0;
    std::string bad; // a line each
    for (const auto &cell : r.cells()) {
        const shape &one = cell.first;
        shape two = one;
        two.threads = 2;
        if (one.what != workload::warm || one.threads != 1 || one.extent != 0)
            continue;
        const double times = r.ratio(two, control, one, control);
        if (times <= 0)
            continue;
        least = least > 0 ? std::min(least, times) : times;
        most = std::max(most, times);
        if (times > control_tolerance || times < 1 / control_tolerance)
            bad += "  " + title_of(one) + ": " + std::to_string(times).substr(0, 4) + "\n";
    }
    if (cores() < 2)
        std::printf("\nWARNING: one core. Threads took turns: columns past the first show no contention.\n");
    else if (most <= 0)
        std::printf(
            "\nWARNING: the control, %s, did not run with 1 and 2 threads: nothing shows that the machine\n"
            "gave two cores.\n",
            control);
    else if (least > control_tolerance)
        std::printf(
            "\nWARNING: in every cell two threads of the control, %s, take %.2f to %.2f times what one takes:\n"
            "the machine did not give two cores, or not twice the memory bandwidth.\n",
            control, least, most);
    else if (!bad.empty())
        std::printf(
            "\nWARNING: two threads of the control, %s, do not take what one takes, but so many times that:\n%s"
            "Where it is more, the machine did not give two cores, or not twice the memory bandwidth; where it\n"
            "is less, it did not give one thread a whole core, or a cache holds what each of two threads\n"
            "writes, but not what one does. Do not compare the columns of these cells.\n",
            control, bad.c_str());
    else
        std::printf(
            "\nThe control, %s, with two threads: %.2f to %.2f times what one takes. There were two cores.\n",
            control, least, most);
}

bool write_data(const std::string &directory, const results &r, const models &m)
{
    std::ofstream file(directory + "/results.tsv");
    file << "workload\tbytes\talignment\tthreads\textent\trow\tmedian_ns\tlow_ns\thigh_ns\n";
    for (const auto &[s, rows] : r.cells())
        for (const auto &in_row : rows) {
            const std::string &row = in_row.first;
            file << name_of(s.what) << '\t' << s.bytes << '\t' << s.alignment << '\t' << s.threads << '\t'
                 << s.extent << '\t' << row << '\t' << r.at(s, row) << '\t' << r.at(s, row, 0.25) << '\t'
                 << r.at(s, row, 0.75) << '\n';
        }
    std::ofstream modelled(directory + "/model.tsv");
    modelled << "cores\tlanes\tshared\n";
    for (unsigned n = 1; m.known && n <= 256; n *= 2)
        modelled << n << '\t' << 1000 * model_throughput(m.lanes, n) << '\t'
                 << 1000 * model_throughput(m.shared, n) << '\n';
    return file.good() && modelled.good();
}

} // namespace bench
