// malloc_family.cpp - loading the general allocators.
#include "malloc_family.hpp"

#include <cstring>

#include <dlfcn.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace bench
{

namespace
{

struct source {
    const char *library;
    const char *package;
    const char *allocate;
    const char *allocate_aligned;
    const char *free;
};

// jemalloc's functions have malloc's names: loaded privately, they are found in its library alone.
constexpr std::array<source, generals> sources = {{
    {nullptr, "", "", "", ""},
    {"libjemalloc.so.2", "libjemalloc2", "malloc", "aligned_alloc", "free"},
    {"libmimalloc.so.2", "libmimalloc2.0", "mi_malloc", "mi_aligned_alloc", "mi_free"},
    {"libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "tc_malloc", "tc_memalign", "tc_free"},
    {"libtbbmalloc.so.2", "libtbbmalloc2", "scalable_malloc", "scalable_aligned_malloc", "scalable_free"},
}};

// Its arguments come in the other order.
void *(*tbb_aligned)(std::size_t bytes, std::size_t alignment);
void *tbb_aligned_swapped(std::size_t alignment, std::size_t bytes)
{
    return tbb_aligned(bytes, alignment);
}

template <class Function>
bool find(void *library, const char *name, Function &function)
{
    void *const symbol = dlsym(library, name);
    static_assert(sizeof symbol == sizeof function, "POSIX: functions have object pointers' size");
    std::memcpy(&function, &symbol, sizeof function);
    return symbol != nullptr;
}

// Empty, or why it is not there.
std::string load(const source &from, general_functions &into)
{
    int how = RTLD_NOW | RTLD_LOCAL;
#if defined(RTLD_DEEPBIND)
    // What the library calls in itself stays in itself.
    how |= RTLD_DEEPBIND;
#endif
    void *const library = dlopen(from.library, how);
    if (library == nullptr) {
        const char *const why = dlerror();
        return why != nullptr ? why : "cannot be loaded";
    }
    if (!find(library, from.allocate, into.allocate) ||
        !find(library, from.allocate_aligned, into.allocate_aligned) || !find(library, from.free, into.free)) {
        into = general_functions{};
        return std::string(from.library) + " lacks a function";
    }
    return {};
}

} // namespace

general_functions &functions_of(general which)
{
    static std::array<general_functions, generals> all{};
    return all[static_cast<std::size_t>(which)];
}

bool available(general which)
{
    return functions_of(which).allocate != nullptr;
}

std::vector<std::string> load_generals()
{
    std::vector<std::string> missing;
    functions_of(general::glibc) = {std::malloc, std::aligned_alloc, std::free};
    for (std::size_t i = 1; i < generals; ++i) {
        const std::string why = load(sources[i], functions_of(static_cast<general>(i)));
        if (!why.empty())
            missing.push_back(std::string("left out: ") + general_names[i] + ", package " + sources[i].package +
                              " (" + why + ")");
    }
    general_functions &tbb = functions_of(general::tbb);
    if (tbb.allocate_aligned != nullptr) {
        std::memcpy(&tbb_aligned, &tbb.allocate_aligned, sizeof tbb_aligned);
        tbb.allocate_aligned = tbb_aligned_swapped;
    }
    return missing;
}

void make_room_for_jemalloc(char **argv)
{
#if defined(__GLIBC__)
    constexpr const char *name = "GLIBC_TUNABLES";
    constexpr const char *setting = "glibc.rtld.optional_static_tls=16384";
    const char *const present = std::getenv(name);
    if (present != nullptr && std::strstr(present, "optional_static_tls") != nullptr)
        return;
    const std::string value = present != nullptr ? std::string(present) + ":" + setting : setting;
    if (setenv(name, value.c_str(), 1) == 0)
        (void)execv("/proc/self/exe", argv);
#else
    (void)argv;
#endif
}

} // namespace bench
