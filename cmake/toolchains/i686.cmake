# 32-bit x86. A 64-bit x86 processor and kernel run the programs; the loader and the libraries stand in the cross
# compiler's folder.
set(triple i686-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "-Wl,--dynamic-linker=/usr/${triple}/lib/ld-linux.so.2,-rpath=/usr/${triple}/lib")
