# z/Architecture: 64 bits, big-endian.
set(triple s390x-linux-gnu)
set(emulator qemu-s390x)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
