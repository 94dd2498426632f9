# `cpack -G DEB` in the build folder: one Debian package with both daemons. Nothing is enabled or started by installing it.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME fleet-control)
set(CPACK_PACKAGE_CONTACT "Fleet control <fleet-control@example.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Control plane for fleets of self-evolving instances")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"An instance proposes a change to its own code, prompts or configuration; the
fleet votes; an approved change is carried out, watched, and taken back where
its metrics breach. Every message between the two is kept in PostgreSQL.
singularity_agent runs on each instance, centralcloud_daemon coordinates.")
# With DESTDIR (which absolute paths need) this prefix counts, and not CPACK_PACKAGING_INSTALL_PREFIX.
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "git, systemd")
# TLS to a webhook, or with sslrootcert=system to the database, is checked against these certificates.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, postgresql-client")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "postgresql, prometheus")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  "${CMAKE_SOURCE_DIR}/deploy/package/postinst;${CMAKE_SOURCE_DIR}/deploy/package/prerm;${CMAKE_SOURCE_DIR}/deploy/package/postrm;${CMAKE_SOURCE_DIR}/deploy/package/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# In the package only: `cmake --install` must not write to /etc. dpkg asks before it replaces what somebody changed there.
install(FILES ${CMAKE_SOURCE_DIR}/deploy/package/centralcloud_daemon.ini ${CMAKE_SOURCE_DIR}/deploy/package/singularity_agent.ini.example
  DESTINATION /etc/fleet_control COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/package/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/fleet-control
  COMPONENT package EXCLUDE_FROM_ALL)
install(CODE "
  file(WRITE \"${CMAKE_BINARY_DIR}/install/changelog\" \"fleet-control (${PROJECT_VERSION}) unstable; urgency=medium\\n\\n  * Made from the sources by cpack.\\n\\n -- ${CPACK_PACKAGE_CONTACT}  Thu, 01 Jan 2026 00:00:00 +0000\\n\")
  execute_process(COMMAND gzip -9nf \"${CMAKE_BINARY_DIR}/install/changelog\")"
  COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_BINARY_DIR}/install/changelog.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/fleet-control COMPONENT package EXCLUDE_FROM_ALL)
set(CPACK_INSTALL_CMAKE_PROJECTS
  "${CMAKE_BINARY_DIR};${PROJECT_NAME};ALL;/" "${CMAKE_BINARY_DIR};${PROJECT_NAME};package;/")
include(CPack)
