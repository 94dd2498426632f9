# `cmake --install build --prefix /usr`: everything where a distribution would put it. Parts that a build does not have are left out.
# deploy/package.cmake makes a Debian package of the same.
set(fleet_doc ${CMAKE_INSTALL_DATADIR}/doc/fleet-control)
foreach(program singularity_agent centralcloud_daemon)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

# The schema is embedded in centralcloud_daemon; these copies are for reading and for other tools.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sql/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fleet_control/sql FILES_MATCHING PATTERN "*.sql")

# The units name the programs by their absolute place. With the prefix /usr they are unchanged.
foreach(unit centralcloud_daemon.service singularity_agent@.service)
  install(CODE "
    file(READ \"${CMAKE_SOURCE_DIR}/deploy/systemd/${unit}\" text)
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    string(REPLACE \"=/usr/bin/\" \"=\${prefix}/${CMAKE_INSTALL_BINDIR}/\" text \"\${text}\")
    string(REPLACE \"file:/usr/share/doc/fleet-control\" \"file:\${prefix}/${fleet_doc}\" text \"\${text}\")
    file(WRITE \"${CMAKE_BINARY_DIR}/install/${unit}\" \"\${text}\")")
  install(FILES ${CMAKE_BINARY_DIR}/install/${unit} DESTINATION lib/systemd/system)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/fleet_control.sysusers DESTINATION lib/sysusers.d RENAME fleet_control.conf)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/fleet_control.tmpfiles DESTINATION lib/tmpfiles.d RENAME fleet_control.conf)

# Examples, not live configuration: an upgrade must not overwrite what somebody changed in /etc.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/config/ DESTINATION ${fleet_doc}/examples PATTERN "README.md" EXCLUDE)
# Where they are in the sources, so that the links between them, and `runbook` of an alert, lead somewhere.
foreach(page README.md deploy/README.md deploy/runbook.md deploy/monitoring.md deploy/metrics.md deploy/high_availability.md deploy/scaling.md
             deploy/systemd/README.md deploy/docker/README.md deploy/package/README.md config/README.md sql/README.md sql/other_languages.md
             common/messages/README.md centralcloud_daemon/alerts/README.md singularity_agent/metrics/README.md)
  cmake_path(GET page PARENT_PATH folder)
  install(FILES ${CMAKE_SOURCE_DIR}/${page} DESTINATION ${fleet_doc}/${folder})
endforeach()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/screenshots DESTINATION ${fleet_doc}/deploy)
