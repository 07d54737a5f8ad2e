# Slicer makes the description of the extension from these.
foreach(_name IN ITEMS CATEGORY CONTRIBUTORS DESCRIPTION DEPENDS)
  if("${EXTENSION_${_name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${_name} is empty")
  endif()
endforeach()
# It passes them on without quotation marks: a semicolon ends what is said in one text, and the rest is lost.
function(_check_description)
  set(_texts EXTENSION_CATEGORY EXTENSION_DESCRIPTION EXTENSION_HOMEPAGE EXTENSION_ICONURL)
  set(_lists EXTENSION_CONTRIBUTORS EXTENSION_DEPENDS EXTENSION_SCREENSHOTURLS)
  cmake_parse_arguments(_passed "" "${_texts}" "${_lists}" ${ARGN})
  if(_passed_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "the extension's description lacks: ${_passed_UNPARSED_ARGUMENTS}")
  endif()
endfunction()
_check_description(
  EXTENSION_CATEGORY ${EXTENSION_CATEGORY}
  EXTENSION_DESCRIPTION ${EXTENSION_DESCRIPTION}
  EXTENSION_HOMEPAGE ${EXTENSION_HOMEPAGE}
  EXTENSION_ICONURL ${EXTENSION_ICONURL}
  EXTENSION_CONTRIBUTORS ${EXTENSION_CONTRIBUTORS}
  EXTENSION_DEPENDS ${EXTENSION_DEPENDS}
  EXTENSION_SCREENSHOTURLS ${EXTENSION_SCREENSHOTURLS}
  )
if(NOT PROJECT_NAME STREQUAL "SemiSeg")
  message(FATAL_ERROR "the project's name is the extension's")
endif()
