# What cmake --install brings to its place: component dev, the library; component app, prefork.
# Everything in it finds itself from where it stands, so a tree of it may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(to_config ${CMAKE_INSTALL_LIBDIR}/cmake/libsupervisor)
set(to_pkgconfig ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(made ${PROJECT_BINARY_DIR}/install)

# --- the library
install(TARGETS supervisor supervisor_simulation EXPORT libsupervisor ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY libsupervisor/include/supervisor DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
        FILES_MATCHING PATTERN *.hpp)
install(EXPORT libsupervisor NAMESPACE supervisor:: FILE libsupervisor-targets.cmake
        DESTINATION ${to_config} COMPONENT dev)

set(components log filesystem json)
if(TARGET Boost::process)
  list(APPEND components process)
endif()
list(JOIN components " " boost_components)
configure_package_config_file(cmake/libsupervisor-config.cmake.in ${made}/libsupervisor-config.cmake
                              INSTALL_DESTINATION ${to_config})
write_basic_package_version_file(${made}/libsupervisor-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${made}/libsupervisor-config.cmake ${made}/libsupervisor-config-version.cmake
        DESTINATION ${to_config} COMPONENT dev)

# An archive of Boost's comes before those it needs. Not ICU and Regex: no member that is taken asks
# for them.
function(list_archives result)
  set(archives)
  list(TRANSFORM components PREPEND Boost:: OUTPUT_VARIABLE ahead)
  while(ahead)
    list(POP_FRONT ahead target)
    if(NOT target MATCHES "^Boost::" OR target MATCHES "regex")
      continue()
    endif()
    get_target_property(more ${target} INTERFACE_LINK_LIBRARIES)
    if(more)
      list(APPEND ahead ${more})
    endif()
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      get_target_property(place ${target} LOCATION)
      get_filename_component(name ${place} NAME)
      list(REMOVE_ITEM archives -l:${name})
      list(APPEND archives -l:${name})
      get_filename_component(folder ${place} DIRECTORY)
    endif()
  endwhile()
  if(NOT folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    list(PREPEND archives "-L${folder}")
  endif()
  list(JOIN archives " " archives)
  set(${result} "${archives}" PARENT_SCOPE)
endfunction()
list_archives(pkgconfig_archives)
get_target_property(pkgconfig_includes Boost::headers INTERFACE_INCLUDE_DIRECTORIES)
list(REMOVE_ITEM pkgconfig_includes ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
list(TRANSFORM pkgconfig_includes PREPEND " -I")
list(JOIN pkgconfig_includes "" pkgconfig_includes)
file(RELATIVE_PATH pkgconfig_to_prefix /prefix/${to_pkgconfig} /prefix)
string(REGEX REPLACE "/$" "" pkgconfig_to_prefix "${pkgconfig_to_prefix}")
configure_file(cmake/libsupervisor.pc.in ${made}/libsupervisor.pc @ONLY)
configure_file(cmake/libsupervisor-simulation.pc.in ${made}/libsupervisor-simulation.pc @ONLY)
install(FILES ${made}/libsupervisor.pc ${made}/libsupervisor-simulation.pc DESTINATION ${to_pkgconfig} COMPONENT dev)

# --- the application
if(TARGET prefork)
  install(TARGETS prefork RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT app)
endif()
include(documents)
include(package)
