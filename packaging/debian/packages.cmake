# CPack: gptvq-coordinator, gptvq-worker and gptvq-client as .deb packages, their dependencies computed from what the
# programs link to. With SOURCE_DATE_EPOCH in the environment the same binaries give the same packages byte for byte.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "gptvq")
set(CPACK_PACKAGE_CONTACT "gptvq maintainers <maintainers@gptvq.invalid>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_COMPONENTS_ALL ${programs})
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 1)
# /etc is outside the prefix.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_ERROR_ON_ABSOLUTE_INSTALL_DESTINATION OFF)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)

set(CPACK_COMPONENT_GPTVQ-COORDINATOR_DESCRIPTION "vector quantization of language models: coordinator\n\
Cuts quantization jobs into tasks, leases them to workers, and publishes\nthe packed checkpoint.")
set(CPACK_COMPONENT_GPTVQ-WORKER_DESCRIPTION "vector quantization of language models: worker\n\
Leases tasks of quantization jobs from a coordinator and runs them.")
set(CPACK_COMPONENT_GPTVQ-CLIENT_DESCRIPTION "vector quantization of language models: client\n\
Submits, follows and uses quantization jobs; quantizes without daemons, too.")

foreach(program ${programs})
  string(TOUPPER ${program} component)
  set(CPACK_DEBIAN_${component}_PACKAGE_NAME ${program})
endforeach()

# daemon_scripts(DAEMON OTHER_DAEMON OWN_DIRECTORIES): the maintainer scripts and what they call.
function(daemon_scripts DAEMON OTHER_DAEMON OWN_DIRECTORIES)
  set(scripts ${CMAKE_CURRENT_BINARY_DIR}/${DAEMON}/control)
  foreach(script postinst prerm postrm)
    configure_file(${CMAKE_CURRENT_SOURCE_DIR}/debian/${script}.in ${scripts}/${script} @ONLY
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND control ${scripts}/${script})
  endforeach()
  file(WRITE ${scripts}/conffiles "/etc/default/${DAEMON}\n")
  string(TOUPPER ${DAEMON} component)
  set(CPACK_DEBIAN_${component}_PACKAGE_CONTROL_EXTRA "${control};${scripts}/conffiles" PARENT_SCOPE)
  set(CPACK_DEBIAN_${component}_PACKAGE_CONTROL_STRICT_PERMISSION ON PARENT_SCOPE)
  set(CPACK_DEBIAN_${component}_PACKAGE_DEPENDS
    "passwd, systemd-standalone-sysusers | systemd-sysusers, systemd-standalone-tmpfiles | systemd-tmpfiles" PARENT_SCOPE)
  set(CPACK_DEBIAN_${component}_PACKAGE_SECTION net PARENT_SCOPE)
endfunction()
daemon_scripts(gptvq-coordinator gptvq-worker /var/lib/gptvq/coordinator)
daemon_scripts(gptvq-worker gptvq-coordinator /run/gptvq-worker)

include(CPack)
