# `cmake --install build --prefix /usr`: everything where a distribution would put it. Parts that a build does not have are left out.
foreach(program singularity_agent centralcloud_daemon)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

# The schema is embedded in centralcloud_daemon; these copies are for reading and for other tools.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sql/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fleet_control/sql FILES_MATCHING PATTERN "*.sql")
if(EXISTS ${CMAKE_SOURCE_DIR}/centralcloud_daemon/dashboard)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/centralcloud_daemon/dashboard/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fleet_control/dashboard
    FILES_MATCHING PATTERN "*.html" PATTERN "*.css" PATTERN "*.js")
endif()

# The units name the programs by their absolute place. With the prefix /usr they are unchanged.
foreach(unit centralcloud_daemon.service singularity_agent@.service)
  install(CODE "
    file(READ \"${CMAKE_SOURCE_DIR}/deploy/systemd/${unit}\" text)
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    string(REPLACE \"=/usr/bin/\" \"=\${prefix}/${CMAKE_INSTALL_BINDIR}/\" text \"\${text}\")
    string(REPLACE \"file:/usr/share/doc/fleet_control\" \"file:\${prefix}/${CMAKE_INSTALL_DATADIR}/doc/fleet_control\" text \"\${text}\")
    file(WRITE \"${CMAKE_BINARY_DIR}/install/${unit}\" \"\${text}\")")
  install(FILES ${CMAKE_BINARY_DIR}/install/${unit} DESTINATION lib/systemd/system)
endforeach()

# Examples, not live configuration: an upgrade must not overwrite what somebody changed in /etc.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/config/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/fleet_control/examples)
install(FILES ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/fleet_control OPTIONAL)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/fleet_control RENAME deploy.md)
