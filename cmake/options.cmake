# What every target of the project is compiled with: supervisor_options.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Boost comes as static archives: one copy of Asio's process-wide signal state, and a master whose
# memory is not a dozen shared libraries' relocations.
set(Boost_USE_STATIC_LIBS ON)
set(boost_components log filesystem json)
if(SUPERVISOR_TESTS)
  list(APPEND boost_components unit_test_framework)
endif()
find_package(Boost 1.81 CONFIG REQUIRED COMPONENTS ${boost_components} OPTIONAL_COMPONENTS process)
find_package(fmt 9 REQUIRED)
find_package(Threads REQUIRED)

find_program(CCACHE ccache)
if(CCACHE AND PROJECT_IS_TOP_LEVEL)
  # A precompiled header needs the two sloppiness flags to be cached at all.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

add_library(supervisor_options INTERFACE)
target_compile_options(supervisor_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow=local
                       $<$<BOOL:${SUPERVISOR_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # -Wshadow=local is g++'s spelling.
  set_target_properties(supervisor_options PROPERTIES INTERFACE_COMPILE_OPTIONS
    "-Wall;-Wextra;-Wpedantic;-Wshadow;-Xclang;-fno-pch-timestamp;$<$<BOOL:${SUPERVISOR_WERROR}>:-Werror>")
else()
  # g++ 12 takes the inlined operator delete of a coroutine's frame for a mismatched one.
  target_compile_options(supervisor_options INTERFACE -fpch-preprocess -Wno-mismatched-new-delete)
endif()
# For the linker to leave out, function by function, what is not called.
target_compile_options(supervisor_options INTERFACE $<$<NOT:$<CONFIG:Debug>>:-ffunction-sections> $<$<NOT:$<CONFIG:Debug>>:-fdata-sections>)
if(SUPERVISOR_SANITIZE)
  set(flags -fsanitize=${SUPERVISOR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(SUPERVISOR_SANITIZE MATCHES undefined)
    # These three triple the build time and find nothing ASan does not.
    list(APPEND flags -fno-sanitize=vptr,null,alignment)
  endif()
  if(SUPERVISOR_SANITIZE MATCHES thread)
    # Asio's own reference counts end with a fence, which ThreadSanitizer does not see; Boost's do not.
    add_compile_definitions(BOOST_ASIO_DISABLE_STD_ATOMIC)
  endif()
  add_compile_options(${flags})
  add_link_options(${flags})
else()
  add_link_options(-static-libstdc++ -static-libgcc)
endif()
