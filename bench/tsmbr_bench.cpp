// tsmbr_bench.cpp - what a block costs, shared and private, in one run of one program.
//
// Google Benchmark runs what is registered, in that order: the whole list once for each pass, contenders of a
// cell next to each other. Each run is one call of the contender's measure function, which keeps the time itself.
// What wants a fresh process (cold, index) runs in one: this program, started again with --one. So does what is
// measured of the shared library: this program, linked with that.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <initializer_list>
#include <memory>
#include <random>
#include <sstream>
#include <thread>

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <benchmark/benchmark.h>
#include <tsmbr.h>

#include "malloc_family.hpp"
#include "process.hpp"
#include "report.hpp"
#include "rounds.hpp"

namespace
{

using bench::contender_entry;
using bench::shape;
using bench::workload;

struct settings {
    bench::clock_type::time_point begin = bench::clock_type::now();
    bool full = false;
    unsigned passes = 7;
    bool all_runs = true;   // no flag leaves some out
    bool own_report = true; // none if Google Benchmark's was asked for
    unsigned before = 0;    // threads that have lanes before those that are measured
    std::string data;       // directory for write_data; empty: none
    std::string command;
};

// Cells that are compared with one another, as few as that needs: measured row by row.
struct group {
    std::vector<shape> cells;
    bool few_rows; // of all that the full run measures
};

std::vector<group> groups_of(bool full)
{
    using bench::mixed_sizes;
    std::vector<group> groups;
    const auto add = [&](workload what, std::size_t bytes, std::size_t alignment,
                         std::initializer_list<std::initializer_list<unsigned>> threads, std::size_t extent = 0,
                         bool few_rows = false) {
        for (const auto &together : threads) {
            groups.push_back({{}, few_rows});
            for (const unsigned count : together)
                groups.back().cells.push_back({what, bytes, alignment, count, extent});
        }
    };
    add(workload::warm, 64, 8, {{1, 2}, {8}, {64}});
    groups.back().cells.push_back(bench::warm_cell_like_64(2));
    add(workload::written, 64, 8, {{2}});
    add(workload::cold, 32, 8, {{1}}, 512);
    if (!full) {
        add(workload::warm, 16, 8, {{1, 2}});
        add(workload::warm, 64, 64, {{1}});
        add(workload::warm, 256, 8, {{2}});
        add(workload::warm, 4096, 8, {{2}});
        add(workload::warm, mixed_sizes, 8, {{1, 2}});
        add(workload::cold, 64, 8, {{2}}, 64);
        add(workload::frame, mixed_sizes, 8, {{2}});
        add(workload::frame, mixed_sizes, 8, {{2}}, 1);
        add(workload::containers, mixed_sizes, 8, {{2}});
        return groups;
    }
    for (const std::size_t bytes : {std::size_t{16}, std::size_t{256}, std::size_t{4096}, mixed_sizes})
        add(workload::warm, bytes, 8, {{1, 2}, {8}, {64}});
    for (const std::size_t bytes :
         {std::size_t{16}, std::size_t{64}, std::size_t{256}, std::size_t{4096}, mixed_sizes})
        for (const std::size_t alignment : {std::size_t{16}, std::size_t{64}}) {
            // Few rows where cells aligned to 8, or those of one and two threads, tell most of it.
            add(workload::warm, bytes, alignment, {{1, 2}}, 0, bytes == 16 && alignment == 64);
            add(workload::warm, bytes, alignment, {{8}, {64}}, 0, true);
            add(workload::cold, bytes, alignment, {{1, 2}, {8}, {64}}, 64, bytes != 64 || alignment != 64);
        }
    for (const std::size_t bytes :
         {std::size_t{16}, std::size_t{64}, std::size_t{256}, std::size_t{4096}, mixed_sizes})
        add(workload::cold, bytes, 8, {{1, 2}, {8}, {64}}, 64);
    add(workload::frame, mixed_sizes, 8, {{1, 2}, {8}, {64}});
    add(workload::frame, mixed_sizes, 8, {{1, 2}, {8}, {64}}, 1);
    add(workload::containers, mixed_sizes, 8, {{1, 2}, {8}, {64}});
    add(workload::index, mixed_sizes, 8, {{1, 2}, {8}, {64}}, 1);
    add(workload::index, mixed_sizes, 8, {{1, 2}, {8}}, 0);
    add(workload::index, mixed_sizes, 8, {{64}}, 0, true);
    return groups;
}

bool is_one_of(const std::string &name, std::initializer_list<const char *> names)
{
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool takes_part(const contender_entry &entry, const shape &s, bool few_rows, bool full)
{
    if (few_rows && !is_one_of(entry.name, {"tsmbr_allocate", "tsmbr_pmr_adapter", "tsmbr_lane", "pmr_private",
                                            "glibc_malloc", "mimalloc", "raw_bump"}))
        return false;
    if (!entry.row_of_so.empty())
        return s.what == workload::warm && s.extent == 0 && s.threads <= 2 &&
               (full || (s.bytes == 64 && s.alignment == 8));
    if (entry.name == "raw_cas")
        return s.what == workload::warm && s.extent == 0;
    if (entry.name == "tsmbr_private")
        return s.what == workload::warm && s.extent == 0 && s.threads > 1 && (full || s.bytes == 64);
    if (entry.name == "raw_bump_moved")
        return s.what == workload::warm && s.extent == 0 && s.threads > 1;
    // Where it is fresh it matters where memory comes from.
    if (entry.name == "raw_bump_huge")
        return s.what == workload::cold;
    if (entry.name == "tsmbr_pmr_system")
        return (s.what == workload::cold && (full || s.extent != 512)) || s.what == workload::index;
    // Who can be told a frame's size, and the control.
    if (s.what == workload::frame && s.extent != 0)
        return entry.name == "pmr_private" || entry.name == "raw_bump" || entry.name.rfind("tsmbr_", 0) == 0;
    // The longest: no locks, and of those who free each block, which takes seconds, the mark alone.
    if (s.what == workload::index && s.threads > (s.extent == 0 ? 2 : 8))
        return entry.shared && entry.name.find("mutex") == std::string::npos &&
               (!entry.general || entry.name == "glibc_malloc");
    if (s.what == workload::index)
        return entry.shared;
    if (s.alignment > entry.most_alignment)
        return false;
    // Cells for one target each: of as much memory as 64 threads have, and with every line written.
    if (s.what == workload::written)
        return is_one_of(entry.name, {"tsmbr_allocate", "tsmbr_shared_only", "pmr_private", "raw_bump"});
    if (s.what == workload::warm && s.extent != 0)
        return is_one_of(entry.name, {"tsmbr_allocate", "pmr_private", "raw_bump"});
    if (full)
        return true;
    // The long ones, in the short run: what the targets compare, and no queues of threads at a lock.
    if (s.what == workload::cold)
        return entry.general || is_one_of(entry.name, {"tsmbr_allocate", "pmr_private", "raw_bump"}) ||
               (s.extent != 512 && is_one_of(entry.name, {"tsmbr_lane", "tsmbr_pmr_adapter"}));
    if (s.threads > 2)
        return entry.name.find("mutex") == std::string::npos && entry.name != "pmr_sync_pool";
    return true;
}

// Seconds on the clock. In the short run less for other blocks than those that the targets are about.
double enough_of(const shape &s, bool full)
{
    return full ? 0.010 : s.bytes == 64 && s.alignment == 8 ? 0.006 : 0.003;
}

struct run {
    const contender_entry *entry;
    shape cell;
    unsigned pass;
};

// One pass. The order of groups is another one in each. Within a group each pass begins with another row, and
// every other one goes backwards: contenders of a cell stay neighbours in time, and nobody always follows the
// same one.
std::vector<run> runs_of(unsigned pass, const settings &o, const std::vector<contender_entry> &rows)
{
    std::vector<group> groups = groups_of(o.full);
    std::shuffle(groups.begin(), groups.end(), std::mt19937(pass)); // the same in every run of the program
    std::vector<run> all;
    for (const group &g : groups) {
        std::vector<run> together;
        for (const contender_entry &entry : rows)
            for (const shape &s : g.cells)
                if (takes_part(entry, s, g.few_rows, o.full))
                    together.push_back({&entry, s, pass});
        if (pass % 2 != 0)
            std::reverse(together.begin(), together.end());
        const std::size_t first = together.size() * pass / o.passes;
        all.insert(all.end(), together.begin() + static_cast<std::ptrdiff_t>(first), together.end());
        all.insert(all.end(), together.begin(), together.begin() + static_cast<std::ptrdiff_t>(first));
    }
    return all;
}

// ------------------------------------------------------------------------------ fresh processes --

std::vector<std::string> words_of(const contender_entry &entry, const shape &s, double enough)
{
    const bool so = !entry.row_of_so.empty();
    return {so ? bench::program_directory() + "/tsmbr_bench_so" : "/proc/self/exe",
            "--one",
            so ? entry.row_of_so : entry.name,
            std::to_string(static_cast<int>(s.what)),
            std::to_string(s.bytes),
            std::to_string(s.alignment),
            std::to_string(s.threads),
            std::to_string(s.extent),
            std::to_string(enough)};
}

bool is_fresh(const shape &s)
{
    return s.what == workload::cold || s.what == workload::index;
}

// More than any contender takes for it.
std::size_t fresh_bytes(const shape &s)
{
    const std::size_t mebibytes = s.what == workload::cold ? s.extent : 256;
    return (mebibytes + mebibytes / 2) << 20;
}

double seconds_of(const timeval &t)
{
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

// The other end of it: prints the figure, and what of the time was whose, for bench/cold_profile.
int run_one(char **words, double enough, const std::vector<contender_entry> &list)
{
    const auto number = [&](int i) { return std::strtoul(words[i], nullptr, 10); };
    const shape s = {static_cast<workload>(number(1)), number(2), number(3), static_cast<unsigned>(number(4)),
                     number(5)};
    for (const contender_entry &entry : list)
        if (entry.name == words[0] && entry.row_of_so.empty()) { // else the other program's
            if (is_fresh(s))
                bench::touch_and_return(fresh_bytes(s));
            rusage before = {}, after = {};
            (void)getrusage(RUSAGE_SELF, &before);
            const double ns = entry.measure(s, enough);
            (void)getrusage(RUSAGE_SELF, &after);
            std::printf("%.6f %.6f %.6f %ld\n", ns, seconds_of(after.ru_utime) - seconds_of(before.ru_utime),
                        seconds_of(after.ru_stime) - seconds_of(before.ru_stime),
                        after.ru_minflt - before.ru_minflt);
            return 0;
        }
    return 1;
}

double measure_cell(const contender_entry &entry, const shape &s, double enough)
{
    if (!is_fresh(s) && entry.row_of_so.empty())
        return entry.measure(s, enough);
    const std::string text = bench::output_of(words_of(entry, s, enough));
    return text.empty() ? -1 : std::strtod(text.c_str(), nullptr);
}

bench::counts count_operations()
{
    bench::counts counted;
    std::istringstream lines(bench::output_of({bench::program_directory() + "/tsmbr_count"}));
    std::string name;
    for (double value = 0; lines >> name >> value;)
        counted[name] = value;
    return counted;
}

// ------------------------------------------------------------------------------- earlier threads --

// The library numbers threads in the order in which they first want a lane.
void want_a_lane()
{
    tsmbr_config config = {};
    config.initial_size = std::size_t{1} << 20;
    tsmbr_resource resource;
    tsmbr_init(&resource, &config);
    if (tsmbr_allocate(&resource, 1, 1) == nullptr ||
        tsmbr_allocate(&resource, 1, 1) == nullptr) // first of the chunk
        std::abort();
    tsmbr_destroy(&resource);
}

// They only keep their numbers.
class earlier_threads
{
public:
    explicit earlier_threads(unsigned count)
    {
        const std::shared_future<void> end = end_.get_future().share();
        for (unsigned i = 0; i < count; ++i) {
            std::promise<void> begun;
            const std::future<void> has_begun = begun.get_future();
            threads_.emplace_back([begun = std::move(begun), end]() mutable {
                want_a_lane();
                begun.set_value();
                end.wait();
            });
            has_begun.wait();
        }
    }
    earlier_threads(const earlier_threads &) = delete;
    earlier_threads &operator=(const earlier_threads &) = delete;
    ~earlier_threads()
    {
        end_.set_value();
        for (std::thread &thread : threads_)
            thread.join();
    }

private:
    std::promise<void> end_;
    std::vector<std::thread> threads_;
};

// ------------------------------------------------------------------------------ Google Benchmark --

std::size_t runs_expected; // 0: not known

// One line for those who watch; where that is a log, one every twenty seconds.
void show_progress(const std::string &name)
{
    static const auto begin = bench::clock_type::now();
    static const bool terminal = isatty(STDERR_FILENO) != 0;
    static std::size_t runs = 0;
    static double next = 20;
    ++runs;
    const double now = bench::seconds_since(begin);
    if (!terminal && now < next)
        return;
    next = now + 20;
    const std::string of = runs_expected != 0 ? " of " + std::to_string(runs_expected) : std::string();
    (void)std::fprintf(stderr, "%s%4.0f s  run %zu%s: %s%s", terminal ? "\r\033[K" : "", now, runs, of.c_str(),
                       name.c_str(), terminal ? "" : "\n");
}

void end_progress()
{
    if (isatty(STDERR_FILENO) != 0)
        (void)std::fprintf(stderr, "\r\033[K");
}

void enter(const run &one, double enough, bench::results &into)
{
    const shape &s = one.cell;
    const std::string size = s.bytes == bench::mixed_sizes ? "mixed" : std::to_string(s.bytes);
    const std::string name = std::string(bench::name_of(s.what)) + "/" + one.entry->name + "/" + size + "/" +
                             std::to_string(s.alignment) + "/" + std::to_string(s.threads) + "/" +
                             std::to_string(s.extent);
    const auto body = [one, enough, name, &into](benchmark::State &state) {
        show_progress(name);
        for (auto once : state) {
            (void)once;
            const double ns = measure_cell(*one.entry, one.cell, enough);
            if (ns > 0) {
                into.add(one.pass, one.cell, one.entry->name, ns);
                state.SetIterationTime(ns * 1e-9);
            } else {
                state.SkipWithError("could not be measured");
            }
            state.counters["ns_per_block"] = ns;
            state.counters["pass"] = one.pass;
        }
    };
    benchmark::RegisterBenchmark(name.c_str(), body)->Iterations(1)->UseManualTime();
}

// Takes the place of Google Benchmark's report.
class silent_reporter : public benchmark::BenchmarkReporter
{
    bool ReportContext(const Context &) override { return true; }
    void ReportRuns(const std::vector<Run> &runs) override
    {
        for (const Run &run : runs)
            if (run.error_occurred)
                (void)std::fprintf(stderr, "%s: %s\n", run.benchmark_name().c_str(), run.error_message.c_str());
    }
};

// Own flags are read, the rest is Google Benchmark's. False if one of these is unknown.
bool read_flags(int argc, char **argv, settings &o)
{
    std::vector<char *> arguments = {argv[0]};
    o.command = "tsmbr_bench";
    for (int i = 1; i < argc; ++i) {
        o.command += std::string(" ") + argv[i];
        if (std::strcmp(argv[i], "--full") == 0) {
            o.full = true;
        } else if (std::strncmp(argv[i], "--data=", 7) == 0) {
            o.data = argv[i] + 7;
        } else if (std::strncmp(argv[i], "--before=", 9) == 0) {
            o.before = static_cast<unsigned>(std::strtoul(argv[i] + 9, nullptr, 10));
        } else if (std::strncmp(argv[i], "--benchmark_repetitions=", 24) == 0) {
            // Google Benchmark would repeat each run by itself.
            o.passes = std::max(1u, static_cast<unsigned>(std::strtoul(argv[i] + 24, nullptr, 10)));
        } else {
            arguments.push_back(argv[i]);
            const bool lists = std::strncmp(argv[i], "--benchmark_list_tests", 22) == 0;
            o.passes = lists ? 1 : o.passes;
            o.all_runs = o.all_runs && std::strstr(argv[i], "filter") == nullptr;
            o.own_report = o.own_report && !lists && std::strncmp(argv[i], "--benchmark_format", 18) != 0;
        }
    }
    int count = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    benchmark::Initialize(&count, arguments.data());
    return !benchmark::ReportUnrecognizedArguments(count, arguments.data());
}

void report(const settings &o, const bench::results &r, const std::vector<contender_entry> &rows)
{
    bench::print_tables(r, rows);
    const bench::counts counted = count_operations();
    const bench::models m = bench::make_models(r, counted);
    bench::print_targets(r, counted, rows);
    bench::print_rivals(r, rows, "tsmbr_allocate", "tsmbr_pmr_adapter");
    bench::print_models(r, m, counted);
    bench::print_warning(r);
    std::printf("\nThis took %.0f seconds.\n", bench::seconds_since(o.begin));
    if (!o.data.empty() && !bench::write_data(o.data, r, m))
        (void)std::fprintf(stderr, "tsmbr_bench: cannot write to %s\n", o.data.c_str());
}

} // namespace

int main(int argc, char **argv)
{
    bench::make_room_for_jemalloc(argv);
    std::vector<std::string> missing;
    const std::vector<contender_entry> rows = bench::list_contenders(missing);
    if ((argc == 8 || argc == 9) && std::strcmp(argv[1], "--one") == 0)
        return run_one(argv + 2, argc == 9 ? std::strtod(argv[8], nullptr) : 0, rows);

    settings o;
    if (!read_flags(argc, argv, o))
        return 1;
#if defined(__GLIBC__)
    // Let malloc keep its memory between rounds, as everyone else does.
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
    bench::region();
    const earlier_threads earlier(o.before);
    want_a_lane(); // first, as in most programs, where a measurement of many threads could have come before
    bench::results r;
    std::size_t entered = 0;
    for (unsigned pass = 0; pass < o.passes; ++pass)
        for (const run &one : runs_of(pass, o, rows)) {
            enter(one, enough_of(one.cell, o.full), r);
            ++entered;
        }
    if (o.all_runs)
        runs_expected = entered;
    if (o.own_report)
        bench::print_machine(o.command, missing);
    silent_reporter silent;
    benchmark::RunSpecifiedBenchmarks(o.own_report ? &silent : nullptr);
    end_progress();
    if (o.own_report)
        report(o, r, rows);
    benchmark::Shutdown();
    return 0;
}
