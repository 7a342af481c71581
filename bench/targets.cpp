// targets.cpp - the ratios this library is built to reach, and the model past the cores there are.
#include <array>
#include <cstdio>
#include <string>

#include "report.hpp"
#include "rounds.hpp"

namespace bench
{

namespace
{

// The median and the quartiles of a ratio over the passes.
struct range {
    double middle = 0; // 0: not known
    double low = 0;
    double high = 0;
};

range ratio(const results &r, const shape &above, const std::string &of, const shape &below, const std::string &to)
{
    return {r.ratio(above, of, below, to), r.ratio(above, of, below, to, 0.25),
            r.ratio(above, of, below, to, 0.75)};
}

void print_line(const char *what, const range &got, bool at_most, double wanted, int digits = 2)
{
    const char sign = at_most ? '<' : '>';
    if (got.middle <= 0) {
        std::printf("%-64s%9s%17s   %c= %-8.*f-\n", what, "-", "", sign, digits, wanted);
        return;
    }
    char span[32] = "counted";
    if (got.low > 0)
        (void)std::snprintf(span, sizeof span, "%.*f - %.*f", digits, got.low, digits, got.high);
    const bool met = at_most ? got.middle <= wanted : got.middle >= wanted;
    std::printf("%-64s%9.*f%17s   %c= %-8.*f%s\n", what, digits, got.middle, span, sign, digits, wanted,
                met ? "yes" : "no");
}

std::string best_general(const results &r, const shape &s, const std::vector<contender_entry> &rows)
{
    std::string best;
    for (const contender_entry &row : rows)
        if (row.general && r.at(s, row.name) > 0 && (best.empty() || r.at(s, row.name) < r.at(s, best)))
            best = row.name;
    return best;
}

double count_of(const counts &c, const char *name)
{
    const auto found = c.find(name);
    return found != c.end() ? found->second : -1;
}

} // namespace

void print_targets(const results &r, const counts &c, const std::vector<contender_entry> &rows)
{
    const shape one = warm_cell(1);
    const shape two = warm_cell(2);
    const shape many = warm_cell(64);
    const shape two_written = written_cell(2);
    const shape two_like_many = warm_cell_like_64(2);
    const shape cold = cold_cell();
    const char *const ours = "tsmbr_allocate";
    const char *const pmr = "pmr_private";
    std::printf("\n%-64s%9s%17s   %-11s%s\n", "targets: medians over the passes, 64-byte blocks unless said",
                "ratio", "quartiles", "wanted", "met");
    print_line("explicit lane / raw bump, warm, 1 thread, ns", ratio(r, one, "tsmbr_lane", one, "raw_bump"), true,
               1.15);
    print_line("tsmbr_allocate / pmr monotonic, warm, 1 thread, ns", ratio(r, one, ours, one, pmr), true, 0.9);
    print_line("  the same of the shared library, libtsmbr.so", ratio(r, one, "tsmbr_allocate_so", one, pmr), true,
               0.9);
    print_line("pmr adapter / pmr monotonic, warm, 1 thread, ns", ratio(r, one, "tsmbr_pmr_adapter", one, pmr),
               true, 1.0);
    print_line("  the same of the shared library", ratio(r, one, "tsmbr_pmr_adapter_so", one, pmr), true, 1.0);
    print_line("2 threads, one resource / 2 private pmr, warm, throughput", ratio(r, two, pmr, two, ours), false,
               1.0);
    print_line("  the same of the shared library", ratio(r, two, pmr, two, "tsmbr_allocate_so"), false, 1.0);
    print_line("2 threads / shared path, warm, first byte written, throughput",
               ratio(r, two, "tsmbr_shared_only", two, ours), false, 20);
    print_line("  the same, every line of the blocks written",
               ratio(r, two_written, "tsmbr_shared_only", two_written, ours), false, 20);
    // Figures are of a core, so on more than two cores this is not the throughput of the machine.
    print_line("64 threads / 2 threads, one resource, 64 MiB, throughput per core",
               ratio(r, two_like_many, ours, many, ours), false, 0.9);
    print_line("  the same of the control, per core: what the machine gives",
               ratio(r, two_like_many, "raw_bump", many, "raw_bump"), false, 0.9);
    print_line("pmr monotonic over malloc / ours, cold, 512 MiB of 32 B, ns", ratio(r, cold, pmr, cold, ours),
               false, 3);
    print_line("best of the malloc family / ours, cold, the same, ns",
               ratio(r, cold, best_general(r, cold, rows), cold, ours), false, 3);
    print_line("  pmr monotonic / a bare loop on huge pages, cold: the machine",
               ratio(r, cold, pmr, cold, "raw_bump_huge"), false, 3);
    print_line("shared path only / pmr monotonic, warm, 1 thread, ns",
               ratio(r, one, "tsmbr_shared_only", one, pmr), true, 1.6);
    print_line("  the same of a bare compare-and-swap: what the machine gives", ratio(r, one, "raw_cas", one, pmr),
               true, 1.6);
    print_line("shared read-modify-writes per block, 16 threads", {count_of(c, "default_rmw_16")}, true, 1.0 / 256,
               5);
    print_line("held / asked, 1 GiB by 16 threads", {count_of(c, "held_over_asked")}, true, 1.10, 3);
}

models make_models(const results &r, const counts &c)
{
    models m{};
    const double transfer = r.at(warm_cell(2), "raw_cas");
    const shape one = warm_cell(1);
    m.lanes = {r.at(one, "tsmbr_allocate"), count_of(c, "default_rmw_16"), transfer};
    m.shared = {r.at(one, "tsmbr_shared_only"), count_of(c, "shared_only_rmw_1"), transfer};
    m.known =
        transfer > 0 && m.lanes.own_ns > 0 && m.shared.own_ns > 0 && m.lanes.visits >= 0 && m.shared.visits >= 0;
    return m;
}

void print_models(const results &r, const models &m, const counts &c)
{
    if (!m.known)
        return;
    constexpr std::array<unsigned, 5> columns = {1, 2, 16, 64, 256};
    std::printf(
        "\nA MODEL, not a measurement: one line that n cores need s times per block, t ns to bring it from "
        "another\n"
        "core, where it is but for one time in n, and p ns of a core's own work per block. Machine repairman's\n"
        "queue, by mean values, for k = 1 ... n: r = t (1 - 1/n) (1 + q), x = k / (p/s + r), q = x r; throughput\n"
        "x / s. Blocks per microsecond, all cores; next to what was measured, where there were the cores.\n"
        "t = %.0f ns, of raw_cas with two cores; on more, and across sockets, it is larger for both rows: 3 t.\n"
        "s is counted, as read-modify-writes: with 16 threads for tsmbr_allocate, with one for the shared path.\n",
        m.lanes.transfer_ns);
    std::printf("%-28s%8s%11s", "", "p, ns", "s");
    for (const unsigned n : columns)
        std::printf("%8u %s", n, n == 1 ? "core " : "cores");
    std::printf("\n");
    const auto row = [&](const std::string &name, model of, double times) {
        of.transfer_ns *= times;
        std::printf("%-28s%8.2f%11.6f", name.c_str(), of.own_ns, of.visits);
        for (const unsigned n : columns)
            std::printf("%14.0f", 1000 * model_throughput(of, n));
        std::printf("\n");
    };
    const auto rows = [&](const std::string &name, const model &of) {
        std::printf("%-47s", (name + ", measured").c_str());
        for (const unsigned n : columns) {
            const double ns = n <= cores() ? r.at(warm_cell(n), name) : 0; // of a core
            if (ns > 0)
                std::printf("%14.0f", 1000 * n / ns);
            else
                std::printf("%14s", "-");
        }
        std::printf("\n");
        row(name, of, 1);
        row("  with t / 3", of, 1.0 / 3);
        row("  with 3 t", of, 3);
    };
    rows("tsmbr_allocate", m.lanes);
    rows("tsmbr_shared_only", m.shared);
    std::printf("\n%-47s%20s%14s\n", "counted, for each block", "read-modify-writes", "lost races");
    const auto counted = [&](const char *who, const std::string &flags, const std::string &threads) {
        std::printf("%-47s%20.6f%14.6f\n", who, count_of(c, (flags + "_rmw_" + threads).c_str()),
                    count_of(c, (flags + "_lost_" + threads).c_str()));
    };
    counted("tsmbr_allocate, 16 threads", "default", "16");
    counted("tsmbr_shared_only, 1 thread", "shared_only", "1");
    counted("tsmbr_shared_only, 2 threads", "shared_only", "2");
}

} // namespace bench
