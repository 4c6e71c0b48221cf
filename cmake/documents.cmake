# What is installed to be read: man pages made of the documentation's own, and what a package of
# Debian's has in its folder.
set(doc ${PROJECT_SOURCE_DIR}/libsupervisor/doc)
set(documents)

# man(COMPONENT PAGE NAME SECTION SUMMARY): the page PAGE.md as NAME(SECTION)
find_package(Python3 COMPONENTS Interpreter)
function(man component page name section summary)
  set(output ${made}/${name}.${section}.gz)
  add_custom_command(OUTPUT ${output} VERBATIM
    COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/cmake/man.py
            ${doc}/${page}.md ${name} ${section} ${PROJECT_VERSION} ${summary} ${output}
    DEPENDS ${doc}/${page}.md ${PROJECT_SOURCE_DIR}/cmake/man.py)
  install(FILES ${output} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
  set(documents ${documents} ${output} PARENT_SCOPE)
endfunction()
if(Python3_FOUND)
  if(TARGET prefork)
    man(app prefork prefork 1 "keep a pool of worker processes on shared listening sockets")
    man(app control prefork-control 7 "the control socket of a prefork master")
    man(app configuration prefork-configuration 7 "several pools from a file")
    man(app restart prefork-restart 7 "when a dead worker is started again")
    man(app groups prefork-groups 7 "pools that live and die together")
    man(app slots prefork-slots 7 "where a worker's place can stand")
    man(app rollout prefork-rollout 7 "from one generation of workers to the next, and back")
    man(app scaling prefork-scaling 7 "how many workers, by load")
    man(app recycling prefork-recycling 7 "when a worker has lived long enough")
    man(app systemd prefork-systemd 7 "under a service manager")
    man(app keeper prefork-keeper 7 "the main process of a prefork master")
    man(app probes prefork-probes 7 "workers looked after from outside")
  endif()
  man(dev overview libsupervisor 7 "turn a program into a supervisor")
  man(dev signals libsupervisor-signals 7 "signals as coroutine handlers")
  man(dev workers libsupervisor-workers 7 "what a worker is, and the mold")
  man(dev library libsupervisor-library 7 "a supervisor inside a program with a life of its own")
  man(dev fork_safety libsupervisor-fork-safety 7 "what survives a fork, and what does not")
else()
  message(STATUS "No Python 3: no man pages")
endif()

# packed(FILE OUTPUT): FILE as gzip makes it, without a time in it
function(packed file output)
  add_custom_command(OUTPUT ${output} COMMAND gzip -9nc ${file} > ${output} DEPENDS ${file} VERBATIM)
  set(documents ${documents} ${output} PARENT_SCOPE)
endfunction()
if(NOT DEFINED ENV{DEBEMAIL})  # as Debian's own tools ask for it
  set(packager "The maintainers of libsupervisor <libsupervisor@example.org>")
elseif(DEFINED ENV{DEBFULLNAME})
  set(packager "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
else()
  set(packager "libsupervisor <$ENV{DEBEMAIL}>")
endif()
set(SUPERVISOR_MAINTAINER ${packager} CACHE STRING "Of the packages: name and address")
file(TIMESTAMP CHANGELOG.md now "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(READ LICENSE license)
string(REGEX REPLACE "\n+$" "" license "${license}")
string(REGEX REPLACE "\n\n" "\n.\n" license "${license}")
string(REPLACE "\n" "\n " license "${license}")
file(CONFIGURE OUTPUT ${made}/copyright @ONLY CONTENT
"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: libsupervisor

Files: *
Copyright: 2026 the authors of libsupervisor
License: BSL-1.0
 @license@
")
packed(${PROJECT_SOURCE_DIR}/CHANGELOG.md ${made}/changelog.gz)

# documents_of(COMPONENT PACKAGE): the folder of a package
function(documents_of component package)
  set(folder ${CMAKE_INSTALL_DATADIR}/doc/${package})
  file(CONFIGURE OUTPUT ${made}/${package}.changelog @ONLY CONTENT
"@package@ (@PROJECT_VERSION@-1) unstable; urgency=medium

  * Version @PROJECT_VERSION@: see changelog.gz.

 -- @SUPERVISOR_MAINTAINER@  @now@
")
  packed(${made}/${package}.changelog ${made}/${package}.changelog.gz)
  install(FILES ${made}/copyright ${made}/changelog.gz DESTINATION ${folder} COMPONENT ${component})
  install(FILES ${made}/${package}.changelog.gz DESTINATION ${folder} RENAME changelog.Debian.gz
          COMPONENT ${component})
  set(documents ${documents} PARENT_SCOPE)
endfunction()
documents_of(dev libsupervisor-dev)
file(GLOB pages CONFIGURE_DEPENDS ${doc}/*.md)
file(GLOB read CONFIGURE_DEPENDS ${doc}/*.svg)
# The examples are in the same folder there, and the tests are not.
foreach(page ${pages})
  get_filename_component(name ${page} NAME)
  set(output ${made}/pages/${name})
  add_custom_command(OUTPUT ${output} DEPENDS ${page} VERBATIM
    COMMAND ${CMAKE_COMMAND} -E make_directory ${made}/pages
    COMMAND sed -E -e "s,\\]\\(\\.\\./\\.\\./apps/examples/,](examples/,g"
                   -e "s,\\[([^]]*)\\]\\(\\.\\./\\.\\./tests/[^)]*\\),\\1,g" ${page} > ${output})
  list(APPEND documents ${output})
  list(APPEND read ${output})
endforeach()
install(FILES ${read} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libsupervisor-dev COMPONENT dev)
file(GLOB examples CONFIGURE_DEPENDS apps/examples/*.cpp)
install(FILES ${examples} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libsupervisor-dev/examples COMPONENT dev)
install(DIRECTORY apps/examples/policies DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libsupervisor-dev/examples COMPONENT dev)

if(TARGET prefork)
  documents_of(app prefork)
  install(FILES apps/prefork/prefork.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME prefork COMPONENT app)
  install(FILES apps/examples/prefork@.service apps/examples/shop.toml DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/prefork/examples
          COMPONENT app)
  install(DIRECTORY apps/examples/any_language DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/prefork/examples
          COMPONENT app FILES_MATCHING REGEX "worker\\.(c|py|js)$")
endif()
add_custom_target(documents ALL DEPENDS ${documents})

# cmake --build build/dev --target doc: the reference, made of the headers, in reference/index.html
find_program(DOXYGEN doxygen)
if(DOXYGEN)
  configure_file(cmake/Doxyfile.in ${made}/Doxyfile @ONLY)
  add_custom_target(doc COMMAND ${DOXYGEN} ${made}/Doxyfile VERBATIM)
endif()
