// targets.cpp - the ratios this library is built to reach, and the model past the cores there are.
#include <cmath>
#include <cstdio>
#include <string>

#include "report.hpp"

namespace bench
{

namespace
{

// a / b; 0 if one of them is not known.
double ratio(double a, double b)
{
    return a > 0 && b > 0 ? a / b : 0;
}

void print_line(const char *what, double got, bool at_most, double wanted, int digits = 2)
{
    char sign = at_most ? '<' : '>';
    if (!(got > 0)) {
        std::printf("%-72s%10s   %c= %-8.*f-\n", what, "-", sign, digits, wanted);
        return;
    }
    const bool met = at_most ? got <= wanted : got >= wanted;
    std::printf("%-72s%10.*f   %c= %-8.*f%s\n", what, digits, got, sign, digits, wanted, met ? "yes" : "no");
}

double best_general(const results &r, const shape &s, const std::vector<contender_entry> &rows)
{
    double best = 0;
    for (const contender_entry &row : rows) {
        const double ns = row.general ? r.at(s, row.name) : 0;
        if (ns > 0 && (best <= 0 || ns < best))
            best = ns;
    }
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
    const shape two_like_many = warm_cell_like_64(2);
    const shape cold = cold_cell();
    const char *const ours = "tsmbr_allocate";
    std::printf("\n%-72s%10s   %-11s%s\n", "targets: medians of this run, 64-byte blocks unless said", "ratio",
                "wanted", "met");
    print_line("explicit lane / raw bump, warm, 1 thread, ns",
               ratio(r.at(one, "tsmbr_lane"), r.at(one, "raw_bump")), true, 1.15);
    print_line("tsmbr_allocate / pmr monotonic, warm, 1 thread, ns",
               ratio(r.at(one, ours), r.at(one, "pmr_private")), true, 0.9);
    print_line("pmr adapter / pmr monotonic, warm, 1 thread, ns",
               ratio(r.at(one, "tsmbr_pmr_adapter"), r.at(one, "pmr_private")), true, 1.0);
    print_line("2 threads, one resource / 2 private pmr, warm, throughput",
               ratio(r.at(two, "pmr_private"), r.at(two, ours)), false, 1.0);
    print_line("2 threads, one resource / shared path only, warm, throughput",
               ratio(r.at(two, "tsmbr_shared_only"), r.at(two, ours)), false, 20);
    print_line("64 threads / 2 threads, one resource, warm, 64 MiB, throughput",
               ratio(r.at(two_like_many, ours), r.at(many, ours)), false, 0.9);
    print_line("  the same of the control: what the machine gives",
               ratio(r.at(two_like_many, "raw_bump"), r.at(many, "raw_bump")), false, 0.9);
    print_line("pmr monotonic over malloc / ours, cold, 512 MiB of 32 bytes, ns",
               ratio(r.at(cold, "pmr_private"), r.at(cold, ours)), false, 3);
    print_line("best of the malloc family / ours, cold, the same, ns",
               ratio(best_general(r, cold, rows), r.at(cold, ours)), false, 3);
    print_line("shared path only / pmr monotonic, warm, 1 thread, ns",
               ratio(r.at(one, "tsmbr_shared_only"), r.at(one, "pmr_private")), true, 1.6);
    print_line("  the same of a bare compare-and-swap: what the machine gives",
               ratio(r.at(one, "raw_cas"), r.at(one, "pmr_private")), true, 1.6);
    print_line("shared read-modify-writes per block, 16 threads, counted", count_of(c, "default_rmw_16"), true,
               1.0 / 256, 5);
    print_line("held / asked, 1 GiB by 16 threads, counted", count_of(c, "held_over_asked"), true, 1.10, 3);
}

models make_models(const results &r, const counts &c)
{
    models m{};
    const double transfer = measure_transfer_ns();
    const shape one = warm_cell(1);
    m.lanes = {r.at(one, "tsmbr_allocate"), count_of(c, "default_rmw_16"), transfer};
    m.shared = {r.at(one, "tsmbr_shared_only"), count_of(c, "shared_only_rmw_1"), transfer};
    m.known = m.lanes.own_ns > 0 && m.shared.own_ns > 0 && m.lanes.visits >= 0 && m.shared.visits >= 0;
    return m;
}

void print_models(const models &m)
{
    if (!m.known)
        return;
    std::printf(
        "\nA MODEL, not a measurement: one line that n cores need s times per block, t ns for each visit, and\n"
        "p ns of a core's own work per block. Machine repairman's queue, by mean values, for k = 1 ... n:\n"
        "r = t (1 + q), x = k / (p/s + r), q = x r; throughput x / s. Blocks per microsecond, all cores.\n"
        "t = %.0f ns, measured with two cores; on more, and across sockets, it is larger for both rows.\n",
        m.lanes.transfer_ns);
    std::printf("%-20s%10s%12s", "", "p, ns", "s");
    for (const unsigned n : {1u, 2u, 16u, 64u, 256u})
        std::printf("%8u %s", n, n == 1 ? "core " : "cores");
    std::printf("\n");
    const auto row = [](const char *name, const model &of) {
        std::printf("%-20s%10.2f%12.6f", name, of.own_ns, of.visits);
        for (const unsigned n : {1u, 2u, 16u, 64u, 256u})
            std::printf("%14.0f", 1000 * model_throughput(of, n));
        std::printf("\n");
    };
    row("tsmbr_allocate", m.lanes);
    row("tsmbr_shared_only", m.shared);
}

} // namespace bench
