// tsmbr_bench.cpp - what a block costs, shared and private, in one run of one program.
//
// Time is kept by us (UseManualTime), not by Google Benchmark: its threads start a run of many
// rounds together, and what counts here is each round, from the moment its first thread starts to
// the moment its last one is done, whatever a barrier costs.
//
//     all threads   | barrier | allocate, write, finish | barrier |
//     thread 0                                                    | reset, add up |
//                             |<------- clock --------->|         |<----->|
//
// Thread creation and a first round to warm the caches come before.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "contenders.hpp"
#include "report.hpp"

namespace
{

using clock_type = std::chrono::steady_clock;

// Nobody sleeps: waking a thread up takes as long as many a round. A thread polls where it can have a
// core to itself, and gives way where it cannot, or where that lasts.
class barrier
{
public:
    explicit barrier(unsigned count)
        : count_(count), polls_(count <= std::thread::hardware_concurrency() ? 1 << 16 : 0)
    {
    }
    void wait()
    {
        const unsigned seen = phase_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
            arrived_.store(0, std::memory_order_relaxed);
            phase_.store(seen + 1, std::memory_order_release);
            return;
        }
        for (unsigned poll = 0; phase_.load(std::memory_order_acquire) == seen; ++poll)
            if (poll >= polls_)
                std::this_thread::yield();
    }

private:
    const unsigned count_;
    const unsigned polls_;
    alignas(contenders::apart) std::atomic<unsigned> arrived_{0};
    alignas(contenders::apart) std::atomic<unsigned> phase_{0};
};

// One run: what its threads share.
template <class Contender>
struct run {
    struct alignas(contenders::apart) times {
        clock_type::time_point start;
        clock_type::time_point done;
    };
    explicit run(unsigned count) : contender(count), together(count), threads(count) {}

    Contender contender;
    barrier together;
    std::vector<times> threads;
};

template <class Contender>
std::unique_ptr<run<Contender>> current;

// One line for those who watch, nothing for those who read the output later.
void show_progress(const char *name, const benchmark::State &state)
{
    static const clock_type::time_point begin = clock_type::now();
    static int runs = 0;
    if (isatty(STDERR_FILENO) == 0)
        return;
    const double seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
    std::fprintf(stderr, "\r%4.0f s  run %3d: %s, %d bytes, %d threads", seconds, ++runs, name,
                 static_cast<int>(state.range(0)), state.threads());
}

template <class Contender>
void set_up(const benchmark::State &state)
{
    show_progress(Contender::name, state);
    current<Contender> = std::make_unique<run<Contender>>(static_cast<unsigned>(state.threads()));
}

template <class Contender>
void tear_down(const benchmark::State &)
{
    current<Contender>.reset();
    if (isatty(STDERR_FILENO) != 0)
        std::fprintf(stderr, "\r\033[K");
}

// Ends at rest, with every thread but 0 on its way to the next barrier.
template <class Contender>
void work(run<Contender> &r, unsigned thread, std::size_t bytes, std::size_t blocks)
{
    r.together.wait();
    r.threads[thread].start = clock_type::now();
    auto allocate = r.contender.allocator(thread);
    for (std::size_t i = 0; i < blocks; ++i) {
        void *const block = allocate(bytes);
        if (block == nullptr)
            std::abort();
        *static_cast<unsigned char *>(block) = 1;
        benchmark::DoNotOptimize(block);
    }
    r.contender.finish(thread);
    r.threads[thread].done = clock_type::now();
    r.together.wait();
}

// Thread 0, the others at rest. Seconds on the clock.
template <class Contender>
double close_round(run<Contender> &r)
{
    const clock_type::time_point reset_start = clock_type::now();
    r.contender.reset();
    clock_type::duration time = clock_type::now() - reset_start;
    clock_type::time_point start = r.threads[0].start;
    clock_type::time_point done = r.threads[0].done;
    for (const auto &t : r.threads) {
        start = std::min(start, t.start);
        done = std::max(done, t.done);
    }
    time += done - start;
    return std::chrono::duration<double>(time).count();
}

template <class Contender>
void measure(benchmark::State &state)
{
    run<Contender> &r = *current<Contender>;
    const auto thread = static_cast<unsigned>(state.thread_index());
    const auto threads = static_cast<unsigned>(state.threads());
    const auto bytes = static_cast<std::size_t>(state.range(0));
    const std::size_t blocks = contenders::round_bytes / bytes / threads;

    work(r, thread, bytes, blocks);
    if (thread == 0)
        close_round(r);
    double seconds = 0;
    for (auto round : state) {
        (void)round;
        work(r, thread, bytes, blocks);
        if (thread == 0) {
            const double time = close_round(r);
            seconds += time;
            state.SetIterationTime(time * threads); // which Google Benchmark divides by threads
        }
    }
    if (thread == 0) {
        const unsigned busy = std::min(threads, std::thread::hardware_concurrency());
        const double all_blocks = static_cast<double>(state.iterations()) * static_cast<double>(blocks) * threads;
        state.counters[cell_counter] = seconds * 1e9 * busy / all_blocks;
    }
}

template <class Contender>
void enter()
{
    benchmark::RegisterBenchmark(Contender::name, measure<Contender>)
        ->Setup(set_up<Contender>)
        ->Teardown(tear_down<Contender>)
        ->ArgsProduct({{16, 64, 256}})
        ->Threads(1)
        ->Threads(2)
        ->Threads(8)
        ->UseManualTime();
}

} // namespace

int main(int argc, char **argv)
{
    // The flags given come last and win.
    std::string command = argv[0];
    bool own_table = true;
    char interleave[] = "--benchmark_enable_random_interleaving=true";
    char repetitions[] = "--benchmark_repetitions=5";
    char min_time[] = "--benchmark_min_time=0.1";
    std::vector<char *> arguments = {argv[0], interleave, repetitions, min_time};
    for (int i = 1; i < argc; ++i) {
        arguments.push_back(argv[i]);
        command += std::string(" ") + argv[i];
        own_table = own_table && std::strncmp(argv[i], "--benchmark_format", 18) != 0;
    }
    int count = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
        return 1;

#if defined(__GLIBC__)
    // Let malloc keep its memory between rounds, as everyone else does.
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
    contenders::region();
    enter<contenders::tsmbr_c>();
    enter<contenders::tsmbr_adapter>();
    enter<contenders::mutex_pmr>();
    enter<contenders::malloc_free>();
    enter<contenders::private_pmr>();
    enter<contenders::control>();

    const auto table = make_table(command, contenders::private_pmr::name, contenders::control::name);
    benchmark::RunSpecifiedBenchmarks(own_table ? table.get() : nullptr);
    benchmark::Shutdown();
    return 0;
}
