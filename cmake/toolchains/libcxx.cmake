# This machine with clang and LLVM's C++ library 16, the first that has std::pmr, from TSMBR_LIBCXX: the folder its
# packages were unpacked in, as they cannot be installed beside those of another version.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TSMBR_LIBCXX)
set(CMAKE_C_COMPILER clang)
set(CMAKE_CXX_COMPILER clang++)
set(libcxx ${TSMBR_LIBCXX}/usr/lib/llvm-16)
set(CMAKE_CXX_FLAGS_INIT "-nostdinc++ -isystem ${libcxx}/include/c++/v1")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-stdlib=libc++ -L${libcxx}/lib -Wl,-rpath,${libcxx}/lib")
set(CMAKE_FIND_ROOT_PATH ${TSMBR_CROSS_PREFIX})
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
