# Packages for Debian: libsupervisor-dev, and prefork.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libsupervisor)
set(CPACK_PACKAGE_VENDOR libsupervisor)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each component has its own
set(CPACK_PACKAGE_CONTACT ${SUPERVISOR_MAINTAINER})
set(CPACK_PACKAGE_FILE_NAME libsupervisor)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL dev)
if(TARGET prefork)
  list(APPEND CPACK_COMPONENTS_ALL app)
endif()
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# The archive has Asio of this very Boost in it.
set(boost ${Boost_VERSION_MAJOR}.${Boost_VERSION_MINOR})
list(TRANSFORM components REPLACE "(.+)" "libboost-\\1${boost}-dev" OUTPUT_VARIABLE boost_packages)
list(JOIN boost_packages ", " boost_packages)
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libsupervisor-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libboost${boost}-dev, ${boost_packages}")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "prefork")
set(CPACK_COMPONENT_DEV_DESCRIPTION "turns a program into a supervisor, on Boost.Asio
A C++20 library: signals go to coroutine handlers, and what to do when - the
policy - is a coroutine. For services that keep a pool of worker processes on
shared sockets, and for supervisors of any program.
.
This package has the headers and the static library.")

set(CPACK_DEBIAN_APP_PACKAGE_NAME prefork)
set(CPACK_DEBIAN_APP_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_APP_PACKAGE_SHLIBDEPS ON)
set(CPACK_COMPONENT_APP_DESCRIPTION "keeps a pool of worker processes on shared listening sockets
A master that opens the sockets, starts the workers, replaces what dies, and
renews them one by one without losing a request. Workers are any program: it
gets its sockets as systemd gives them.")
include(CPack)
