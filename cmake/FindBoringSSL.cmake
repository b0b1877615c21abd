# BoringSSL, from WINZE_BORINGSSL_ROOT or from Debian's android-libboringssl-dev. Defines BoringSSL::crypto and
# BoringSSL::ssl, and refuses an OpenSSL found by mistake.
set(_hint "On Debian: apt-get install android-libboringssl-dev. Or set WINZE_BORINGSSL_ROOT to a BoringSSL install (a folder with include/openssl and lib/).")

if(WINZE_BORINGSSL_ROOT)
  set(_where PATHS "${WINZE_BORINGSSL_ROOT}" NO_DEFAULT_PATH)
  find_path(BoringSSL_INCLUDE_DIR openssl/ssl.h ${_where} PATH_SUFFIXES include)
  find_library(BoringSSL_CRYPTO_LIBRARY crypto ${_where} PATH_SUFFIXES lib lib64 . build)
  find_library(BoringSSL_SSL_LIBRARY ssl ${_where} PATH_SUFFIXES lib lib64 . build)
else()
  find_path(BoringSSL_INCLUDE_DIR openssl/base.h PATH_SUFFIXES android)
  find_library(BoringSSL_CRYPTO_LIBRARY crypto PATH_SUFFIXES android)
  find_library(BoringSSL_SSL_LIBRARY ssl PATH_SUFFIXES android)
endif()

if(BoringSSL_INCLUDE_DIR)
  file(STRINGS "${BoringSSL_INCLUDE_DIR}/openssl/base.h" _version REGEX "define BORINGSSL_API_VERSION")
  if(NOT _version)
    message(FATAL_ERROR "winze needs BoringSSL, but the openssl/ headers in ${BoringSSL_INCLUDE_DIR} are another library's (OpenSSL?). ${_hint}")
  endif()
  string(REGEX MATCH "[0-9]+" BoringSSL_VERSION "${_version}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BoringSSL
  REQUIRED_VARS BoringSSL_CRYPTO_LIBRARY BoringSSL_SSL_LIBRARY BoringSSL_INCLUDE_DIR
  VERSION_VAR BoringSSL_VERSION
  REASON_FAILURE_MESSAGE "winze needs BoringSSL. ${_hint}")

if(BoringSSL_FOUND AND NOT TARGET BoringSSL::crypto)
  find_package(Threads REQUIRED)
  add_library(BoringSSL::crypto UNKNOWN IMPORTED)
  set_target_properties(BoringSSL::crypto PROPERTIES IMPORTED_LOCATION "${BoringSSL_CRYPTO_LIBRARY}")
  target_include_directories(BoringSSL::crypto INTERFACE "${BoringSSL_INCLUDE_DIR}")
  target_link_libraries(BoringSSL::crypto INTERFACE Threads::Threads)
  add_library(BoringSSL::ssl UNKNOWN IMPORTED)
  set_target_properties(BoringSSL::ssl PROPERTIES IMPORTED_LOCATION "${BoringSSL_SSL_LIBRARY}")
  target_link_libraries(BoringSSL::ssl INTERFACE BoringSSL::crypto)
endif()
mark_as_advanced(BoringSSL_INCLUDE_DIR BoringSSL_CRYPTO_LIBRARY BoringSSL_SSL_LIBRARY)
