# What compilers and linkers can do against exploits of other people's bugs, and of ours: for the library alone.
# Each flag is used where the compiler has it. scripts/check-hardening reads the result.
#
# Not on Windows: MinGW's stack protector wants a library of its own, and its linker has none of these.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckLinkerFlag)

set(tsmbr_harden_compile "")
set(tsmbr_harden_link "")
if(TSMBR_HARDEN AND NOT WIN32)
  foreach(flag IN ITEMS -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
                        -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER "tsmbr_has${flag}" has)
    set(CMAKE_REQUIRED_FLAGS -Werror) # clang only warns of a flag that means nothing for the target
    check_c_compiler_flag(${flag} ${has})
    unset(CMAKE_REQUIRED_FLAGS)
    if(${has})
      list(APPEND tsmbr_harden_compile ${flag})
    endif()
  endforeach()
  # Checked copies need an optimizer, and sanitizers watch the same functions better. An older C library takes
  # level 3 for 2, with a warning.
  if(NOT TSMBR_SANITIZE)
    foreach(level IN ITEMS 3 2)
      set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${level}")
      check_c_source_compiles("#include <string.h>\nint main(void) { return 0; }" tsmbr_has_fortify_${level})
      unset(CMAKE_REQUIRED_FLAGS)
      if(tsmbr_has_fortify_${level})
        list(APPEND tsmbr_harden_compile
          $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE>
          $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-D_FORTIFY_SOURCE=${level}>)
        break()
      endif()
    endforeach()
  endif()
  foreach(flag IN ITEMS -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code)
    string(MAKE_C_IDENTIFIER "tsmbr_has${flag}" has)
    check_linker_flag(C ${flag} ${has})
    if(${has})
      list(APPEND tsmbr_harden_link ${flag})
    endif()
  endforeach()
endif()
