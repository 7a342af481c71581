// Calls what two files each of strict.c and strict.cpp define.
#include <cstdio>

extern "C" int strict(void);
extern "C" int strict_second(void);
int strict_cpp();
int strict_cpp_second();

int main()
{
    const bool ok = strict() && strict_second() && strict_cpp() && strict_cpp_second();
    std::puts(ok ? "consumer ok" : "consumer failed");
    return ok ? 0 : 1;
}
