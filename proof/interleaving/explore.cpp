/* explore.cpp - explores one scenario, or replays one execution of it.
 *
 *   explore list
 *   explore SCENARIO THREADSxCALLS all|PREEMPTIONS [EXECUTION]
 *
 * Prints `passed N` (executions) or how the first failing execution went. Ends with 0, 1, or, if it was
 * called wrongly, 2. */
#include <bitset>
#include <sstream>
#include <string>

#include "scenarios.hpp"

using namespace harness;

extern "C" const tsmbr_upstream *tsmbr_system_upstream(void)
{
    return &upstream;
}

namespace model
{

alignas(64) unsigned char memory[MEMORY];
static cell cells[MEMORY / WORD];
int error_number[THREADS_MOST];
int install_looks, reserve_looks;

void (*at_thread_end)(void *);

thread_state *thread()
{
    return &my_life()->state;
}

int thread_will_end(pthread_key_t, void *)
{
    my_life()->noticed = true;
    return 0;
}

/* Of any group that the scenarios use. */
void publish(::lane *table)
{
    if (table != NULL)
        for (size_t i = 0; i < 2 * sizeof(lane); i += WORD)
            cell_at(reinterpret_cast<unsigned char *>(table) + i)->published = true;
}

[[noreturn]] void fail(const char *what, rl::debug_info_param where, rl::test_result_e result)
{
    rl::ctx().fail_test(what, result, where);
    __builtin_unreachable();
}

cell *cell_at(const void *address)
{
    if (!in_memory(address))
        fail("outside of all memory", $);
    cell *c = &cells[(static_cast<const unsigned char *>(address) - memory) / WORD];
    if (c->gone)
        fail("used after it was given back", $, rl::test_result_access_to_freed_memory);
    return c;
}

/* Words that threads were seen to use in ways that do not commute. */
static std::bitset<PREPARED_MOST / WORD> contended;

bool commutes(const void *address, use u)
{
    if (!now.running)
        return true;
    size_t word = (static_cast<const unsigned char *>(address) - memory) / WORD;
    if (word >= now.prepared / WORD)
        return !cell_at(address)->published;
    /* A table that is not published as yet. */
    if (address >= now.room && address < now.room_end && !cell_at(address)->published)
        return true;
    if (contended[word])
        return false;
    /* Only of counters nobody wants to know what an addition found. */
    if (u == ADD && address != &r->lanes_used && (address < &r->reserved || address > &r->lost))
        u = WRITE;
    unsigned char(&by)[3] = now.uses[word];
    by[u] |= 1u << rl::thread_index();
    for (int other = READ; other <= WRITE; other++) {
        unsigned both = by[u] | by[other];
        bool alike = other == int(u) && u != WRITE;
        if (!alike && by[other] != 0 && (both & (both - 1)) != 0) {
            contended[word] = true;
            rl::ctx().rl_until("a word is contended: over again", $);
        }
    }
    return true;
}

} // namespace model

/* ------------------------------------------------------------------------------- reporting -- */

static const struct {
    size_t offset;
    const char *name;
} words[] =
    {
        {offsetof(chunk, next), "next"},
        {offsetof(chunk, allocation_ptr), "allocation_ptr"},
        {offsetof(chunk, allocation_size), "allocation_size"},
        {offsetof(chunk, capacity), "capacity"},
        {offsetof(chunk, prev), "prev"},
        {offsetof(chunk, follow), "follow"},
        {offsetof(chunk, held), "held"},
},
  resource_words[] = {
      {offsetof(resource, head), "head"},
      {offsetof(resource, large), "large"},
      {offsetof(resource, cleanups), "cleanups"},
      {offsetof(resource, reserved), "reserved"},
      {offsetof(resource, published), "published"},
      {offsetof(resource, large_weight), "large_weight"},
      {offsetof(resource, lanes_used), "lanes_used"},
      {offsetof(resource, unused), "unused"},
      {offsetof(resource, lost), "lost"},
      {offsetof(resource, lanes[0]), "lanes[0]"},
      {offsetof(resource, lanes[1]), "lanes[1]"},
      {offsetof(resource, lanes[2]), "lanes[2]"},
      {offsetof(resource, lanes[3]), "lanes[3]"},
      {model::SLOTS_AT, "slots"},
      {model::SLOTS_AT + offsetof(slots, key_ready), "key_ready"},
      {model::KEY_AT, "key"},
};

/* A reader's name for an address in the memory, or in its model. If there is a buffer, it is chunk 0. */
static std::string name_of(unsigned long long address)
{
    unsigned long long cells = reinterpret_cast<uintptr_t>(model::cells);
    unsigned long long memory = reinterpret_cast<uintptr_t>(model::memory);
    if (address >= cells && address < cells + sizeof model::cells)
        address = memory + (address - cells) / sizeof(model::cell) * model::WORD;
    if (address < memory || address >= memory + model::MEMORY)
        return "";
    size_t offset = address - memory;
    for (const auto &w : resource_words)
        if (offset == w.offset)
            return w.name;
    for (const auto &w : words)
        if (offset == offsetof(resource, buffer) + w.offset)
            return std::string("chunk 0's ") + w.name;
    for (unsigned i = 0; i < now.region_count; i++) {
        const region &g = now.regions[i];
        size_t capacity = g.total;
        uintptr_t start = reinterpret_cast<uintptr_t>(g.start);
        if (address < start || address >= start + g.total)
            continue;
        std::string chunk_name = "chunk " + std::to_string(i);
        if (g.upstream && place_record(start, g.total, &capacity))
            for (const auto &w : words)
                if (address == start + capacity + w.offset)
                    return chunk_name + "'s " + w.name;
        return chunk_name + " + " + std::to_string(address - start);
    }
    return "";
}

/* Relacy's report with names for addresses, without the steps that prepared the scenario, and without
 * the same steps sorted by thread. */
static std::string readable(const std::string &report)
{
    std::string text = report.substr(0, report.find("\nthread 0:"));
    text.erase(text.find("iteration: "), text.find("execution history") - text.find("iteration: "));
    size_t begun = text.find("[CTOR BEGIN]"), ready = text.find("[BEFORE END]");
    if (ready != std::string::npos)
        text.erase(text.rfind('\n', begun), text.rfind('\n', ready) - text.rfind('\n', begun));
    const std::string nowhere = ", in operator"; /* of a field: says nothing */
    for (size_t at = 0; (at = text.find(nowhere, at)) != std::string::npos;)
        text.erase(at, text.find('\n', at) - at);
    std::string result;
    for (size_t i = 0; i < text.size();) {
        std::string name;
        size_t length = 0;
        if (text.compare(i, 2, "0x") == 0)
            name = name_of(std::stoull(text.substr(i), &length, 16));
        bool whole_chunk =
            i > 0 && text[i - 1] != '<' && name.size() > 7 && name.rfind("'s next") == name.size() - 7;
        if (whole_chunk)
            name.resize(name.size() - 7);
        result += name.empty() ? text.substr(i, 1) : name;
        i += name.empty() ? 1 : length;
    }
    return result;
}

/* ----------------------------------------------------------------------------- exploration -- */

/* Relacy's note of an execution: its number, and every choice made, as count, index and type of choice.
 * All are single digits, so here they are written without the spaces, after what was contended. */
static std::string pack(const std::string &state)
{
    std::istringstream in(state);
    std::ostringstream out;
    unsigned long long number = 0, count = 0, digit = 0;
    in >> number >> count;
    for (size_t word = 0; word < model::contended.size(); word++)
        if (model::contended[word])
            out << word << ",";
    out << ":";
    while (in >> digit)
        out << digit;
    return out.str();
}

static std::string unpack(const std::string &packed)
{
    size_t colon = packed.find(':');
    std::istringstream in(packed.substr(0, colon));
    size_t word = 0;
    for (char comma = 0; in >> word >> comma;)
        model::contended.set(word);
    std::string digits = packed.substr(colon + 1), state = "1 " + std::to_string(digits.size() / 3);
    for (char digit : digits)
        state += std::string(" ") + digit;
    return state + " ";
}

template <int THREADS>
rl::test_result_e run(rl::test_params &params, rl::ostringstream &state)
{
    typedef suite<THREADS> test;
    return params.search_type == rl::sched_full
               ? rl::run_test<test, rl::full_search_scheduler<THREADS>>(params, state, false)
               : rl::run_test<test, rl::context_bound_scheduler<THREADS>>(params, state, false);
}

/* Runs from an execution on, or from the first. Returns the failing one, or nothing. */
static rl::test_result_e explore(int threads, rl::test_params &params, std::string *failing)
{
    for (;;) {
        rl::ostringstream state;
        rl::test_result_e result = threads == 2 ? run<2>(params, state) : run<3>(params, state);
        if (result == rl::test_result_until_condition_hit && !params.collect_history)
            continue;
        *failing = state.str().c_str();
        return result;
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (const scenario &s : scenarios)
            printf("%-14s %s\n", s.name, s.what);
        return 0;
    }
    int threads = 0;
    if (argc >= 4)
        for (const scenario &s : scenarios)
            if (strcmp(s.name, argv[1]) == 0)
                current = &s;
    if (current == NULL || sscanf(argv[2], "%dx%u", &threads, &calls_of_each) != 2 || threads < 2 || threads > 3 ||
        calls_of_each < 1 || calls_of_each > 2) {
        fprintf(stderr, "usage: explore list | SCENARIO THREADSxCALLS all|PREEMPTIONS [EXECUTION]\n");
        return 2;
    }

    rl::ostringstream report; /* not std's: Relacy watches what that allocates */
    rl::test_params params;
    params.output_stream = params.progress_stream = &report;
    params.search_type = strcmp(argv[3], "all") == 0 ? rl::sched_full : rl::sched_bound;
    params.context_bound = atoi(argv[3]);
    params.execution_depth_limit = 1000;

    std::string failing = argc > 4 ? argv[4] : "";
    if (failing.empty()) {
        std::string state;
        if (explore(threads, params, &state) == rl::test_result_success) {
            printf("passed %llu\n", (unsigned long long)params.stop_iteration);
            return 0;
        }
        failing = pack(state);
    }
    std::string number = argc > 4 ? "" : " at " + std::to_string(params.stop_iteration);
    params.initial_state = unpack(failing).c_str();
    params.collect_history = true;
    report.str("");
    replaying = true;
    std::string ignored;
    if (explore(threads, params, &ignored) == rl::test_result_until_condition_hit) {
        printf("passed: this execution does not fail, or not any more\n");
        return 0;
    }
    printf("failed%s\n%s\nreplay: %s %s %s %s\n", number.c_str(), readable(report.str().c_str()).c_str(), argv[1],
           argv[2], argv[3], failing.c_str());
    return 1;
}
