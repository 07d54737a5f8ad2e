# A stand-in for the part of Slicer's build system that a scripted extension uses: the same names, and the same
# effect on the build tree and the package, without Slicer.
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer/qt-scripted-modules")
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/CheckExtension.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CheckExtension.cmake")
