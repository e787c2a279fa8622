"""
A fake for the containers in which host scripts run as the owner of a folder.

``OWNER_CONTAINERS`` is the first part of a fake ``docker`` in sh. PATH may be that of a BusyBox
host. It runs the script of ``as_owner`` (host/lib/paths.sh) in the folder itself, with the same
uid, and exits. It also runs
``docker exec --workdir FOLDER CONTAINER ... sh -euc SCRIPT`` if ``OWNER_INSIDE`` has a line
``FOLDER FOLDER-OF-THIS-MACHINE``. Other calls continue with the rest of the program.

Optional environment variables: ``OWNER_CALLS``, a file that records the calls; ``OWNER_INSIDE``;
``OWNER_KILL``, a replacement for ``kill`` in a script of ``docker exec``, which would otherwise
signal process 1 of this machine; ``OWNER_CAPS``, capabilities for the fake programs of a test.
"""

OWNER_CONTAINERS = r"""
owner_of() { stat -c "$1" -- "$2"; }

become_owner() { # UID:GID COMMAND...
  owner=$1
  shift
  if [ "$owner" = 0:0 ]; then exec "$@"; fi
  exec /usr/bin/setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups \
    ${OWNER_CAPS:+--inh-caps "$OWNER_CAPS" --ambient-caps "$OWNER_CAPS"} -- "$@"
}

in_folder_of_owner() { # docker's words
  user=''
  mounted=''
  while [ $# -gt 0 ]; do
    case $1 in
      --user) user=$2; shift ;;
      --volume) mounted=$2; shift ;;
      --entrypoint)
        # timeout IMAGE SECONDS sh -euc SCRIPT...
        shift 3
        folder=${mounted%:/folder:*}
        [ -z "${OWNER_CALLS-}" ] || echo "as_owner $folder ${mounted##*:}" >>"$OWNER_CALLS"
        cd -- "$folder" || exit 125
        become_owner "$user" timeout "$@"
        ;;
    esac
    shift
  done
  exit 125
}

in_broker_container() { # docker's words; returns if OWNER_INSIDE does not list the folder
  while [ $# -gt 0 ] && [ "$1" != --workdir ]; do shift; done
  folder=$(printf '%s' "${OWNER_INSIDE-}" | sed -n "s,^$2 ,,p")
  [ -n "$folder" ] || return 0
  [ -z "${OWNER_CALLS-}" ] || echo "exec $folder" >>"$OWNER_CALLS"
  shift 3
  # timeout SECONDS sh -euc SCRIPT...
  seconds=$2
  script=$5
  shift 5
  cd -- "$folder" || exit 125
  become_owner "$(owner_of %u:%g .)" timeout "$seconds" \
    sh -euc "kill() { ${OWNER_KILL:-return 1}; }; $script" "$@"
}

case " $* " in
  *:/folder:r[ow]\ *) in_folder_of_owner "$@" ;;
  *' exec --workdir '*) in_broker_container "$@" ;;
esac
"""
