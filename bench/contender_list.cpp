// contender_list.cpp - the contenders, and the part of the workloads that is the same for all.
#include "contender_list.hpp"

#include "contenders.hpp"
#include "controls.hpp"
#include "malloc_family.hpp"
#include "other_arenas.hpp"
#include "workloads.hpp"

#include <unordered_map>

namespace bench
{

const std::vector<std::string> &container_words()
{
    static const std::vector<std::string> words = [] {
        std::vector<std::string> made;
        for (int i = 0; i < 2048; ++i)
            made.push_back("an_identifier_with_number_" + std::to_string(i * 7919 % 100003));
        return made;
    }();
    return words;
}

std::size_t build_map(std::pmr::memory_resource *resource)
{
    const std::vector<std::string> &words = container_words();
    std::pmr::unordered_map<std::pmr::string, std::pmr::vector<int>> places(resource);
    for (std::size_t i = 0; i < map_insertions; ++i) {
        const std::string &word = words[i * 5 % words.size()];
        places[std::pmr::string(word, resource)].push_back(static_cast<int>(i));
    }
    std::size_t count = 0;
    for (const auto &[word, found] : places)
        count += found.size();
    return count;
}

namespace
{

template <class Contender>
void add(std::vector<contender_entry> &list, std::size_t most_alignment = SIZE_MAX)
{
    list.push_back(
        {Contender::name, Contender::shared, Contender::frees_each, most_alignment, measure<Contender>, {}});
}

// The same once more, of the shared library.
template <class Contender>
void add_so(std::vector<contender_entry> &list)
{
    add<Contender>(list);
    list.back().row_of_so = list.back().name;
    list.back().name += "_so";
}

template <general Which>
void add_general(std::vector<contender_entry> &list)
{
    if (available(Which))
        add<general_allocator<Which>>(list);
}

} // namespace

std::vector<contender_entry> list_contenders(std::vector<std::string> &missing)
{
    std::vector<contender_entry> list;
    missing = load_generals();
    add<tsmbr_lanes>(list);
    add<tsmbr_lane_resources>(list);
    add<tsmbr_default>(list);
    add_so<tsmbr_default>(list);
    add<tsmbr_adapter>(list);
    add_so<tsmbr_adapter>(list);
    add<tsmbr_adapter_over_system>(list);
    add<tsmbr_shared_only>(list);
    add<tsmbr_private>(list);
    add<pmr_private>(list);
    add<pmr_mutex>(list);
    add<pmr_sync_pool>(list);
#if defined(BENCH_HAS_BOOST)
    add<boost_mutex>(list, alignof(std::max_align_t)); // asked for more, it throws
#else
    missing.push_back("left out: boost_mutex, package libboost-container-dev");
#endif
#if defined(BENCH_HAS_PROTOBUF)
    add<protobuf_arena>(list);
#else
    missing.push_back("left out: protobuf_arena, package libprotobuf-dev");
#endif
    add_general<general::glibc>(list);
    add_general<general::jemalloc>(list);
    add_general<general::mimalloc>(list);
    add_general<general::tcmalloc>(list);
    add_general<general::tbb>(list);
    add<raw_bump>(list);
    add<raw_bump_moved>(list);
    add<raw_bump_huge>(list);
    add<raw_cas>(list);
    return list;
}

} // namespace bench
