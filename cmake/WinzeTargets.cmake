# winze_library(FOLDER LINK public... PRIVATE private...): the target of one folder of include/winze and lib.
# winze_umbrella(): winze::winze, which links them all, and the install rules.
include(CMakePackageConfigHelpers)

add_library(winze_options INTERFACE)
target_compile_features(winze_options INTERFACE cxx_std_20)
target_compile_options(winze_options INTERFACE -ffunction-sections -fdata-sections -Wall -Wextra -Wshadow -Wnon-virtual-dtor
  -Wno-missing-field-initializers
  "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-maybe-uninitialized>")  # false alarms of GCC 12
if(WINZE_SANITIZE)
  target_compile_options(winze_options INTERFACE -fsanitize=${WINZE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(winze_options INTERFACE -fsanitize=${WINZE_SANITIZE})
endif()
if(WINZE_SANITIZE MATCHES "thread")
  # Asio's fences, which GCC's ThreadSanitizer does not see: they guard what only one thread uses here.
  target_compile_options(winze_options INTERFACE "$<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>")
endif()
if(WINZE_FUZZ)
  target_compile_options(winze_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(winze_library folder)
  cmake_parse_arguments(ARG "" "" "LINK;PRIVATE" ${ARGN})
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/winze/${folder}/*.h")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/lib/${folder}/*.cc")
  set(target winze_${folder})
  if(sources)
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(${target} PUBLIC ${ARG_LINK} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:winze_options>)
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/lib")
    set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
      POSITION_INDEPENDENT_CODE ON VERIFY_INTERFACE_HEADER_SETS ON)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
    target_link_libraries(${target} INTERFACE ${ARG_LINK})
    set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  endif()
  target_compile_features(${target} ${scope} cxx_std_20)
  target_sources(${target} ${scope} FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${headers})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${folder})
  add_library(winze::${folder} ALIAS ${target})
  set_property(GLOBAL APPEND PROPERTY WINZE_LIBRARIES ${target})
endfunction()

function(winze_umbrella)
  get_property(libraries GLOBAL PROPERTY WINZE_LIBRARIES)
  add_library(winze INTERFACE)
  add_library(winze::winze ALIAS winze)
  target_link_libraries(winze INTERFACE ${libraries})

  set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/winze")
  install(TARGETS winze ${libraries} EXPORT winzeTargets FILE_SET HEADERS)
  install(EXPORT winzeTargets NAMESPACE winze:: DESTINATION "${package_dir}")
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/winzeConfig.cmake.in" "${PROJECT_BINARY_DIR}/winzeConfig.cmake"
    INSTALL_DESTINATION "${package_dir}")
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/winzeConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/winzeConfig.cmake" "${PROJECT_BINARY_DIR}/winzeConfigVersion.cmake"
    cmake/FindAsio.cmake cmake/FindBoringSSL.cmake cmake/FindNghttp2.cmake DESTINATION "${package_dir}")
endfunction()
