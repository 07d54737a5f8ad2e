# Slicer makes the description of the extension from these.
foreach(_name IN ITEMS CATEGORY CONTRIBUTORS DESCRIPTION DEPENDS)
  if("${EXTENSION_${_name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${_name} is empty")
  endif()
endforeach()
if(NOT PROJECT_NAME STREQUAL "SemiSeg")
  message(FATAL_ERROR "the project's name is the extension's")
endif()
