# Standalone Asio, compiled once into winze_io (ASIO_SEPARATE_COMPILATION). Defines asio::asio.
find_path(Asio_INCLUDE_DIR asio/io_context.hpp)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio REQUIRED_VARS Asio_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Standalone Asio was not found. On Debian: apt-get install libasio-dev. Or set Asio_INCLUDE_DIR.")
if(Asio_FOUND AND NOT TARGET asio::asio)
  find_package(Threads REQUIRED)
  add_library(asio::asio INTERFACE IMPORTED)
  target_include_directories(asio::asio INTERFACE "${Asio_INCLUDE_DIR}")
  # Whether Asio finds aligned_alloc hangs on which standard header came before it, so one file would allocate with it
  # what another, compiled without it, frees with operator delete.
  target_compile_definitions(asio::asio INTERFACE ASIO_STANDALONE ASIO_SEPARATE_COMPILATION ASIO_NO_DEPRECATED
    ASIO_DISABLE_STD_ALIGNED_ALLOC)
  target_link_libraries(asio::asio INTERFACE Threads::Threads)
endif()
mark_as_advanced(Asio_INCLUDE_DIR)
