// process.cpp - fork, exec, and a pipe.
#include "process.hpp"

#include <array>
#include <cerrno>
#include <cstdio>

#include <sys/wait.h>
#include <unistd.h>

namespace bench
{

namespace
{

std::string read_all(int from)
{
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        const ssize_t got = read(from, buffer.data(), buffer.size());
        if (got > 0)
            text.append(buffer.data(), static_cast<std::size_t>(got));
        else if (got == 0 || errno != EINTR)
            return text;
    }
}

} // namespace

std::string output_of(const std::vector<std::string> &command)
{
    std::vector<char *> arguments;
    for (const std::string &word : command)
        arguments.push_back(const_cast<char *>(word.c_str()));
    arguments.push_back(nullptr);
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0)
        return {};
    (void)std::fflush(nullptr); // or the child would write it again
    const pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execv(arguments[0], arguments.data());
        _exit(127);
    }
    (void)close(ends[1]);
    std::string text = child > 0 ? read_all(ends[0]) : std::string();
    (void)close(ends[0]);
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            break;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : std::string();
}

std::string program_directory()
{
    std::array<char, 4096> path{};
    const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
    const std::string whole = length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "./x";
    return whole.substr(0, whole.rfind('/'));
}

} // namespace bench
