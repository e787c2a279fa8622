"""
What stands in for the containers in which host scripts work as a folder's owner.

``OWNER_CONTAINERS`` is sh for the beginning of a program called ``docker``. It runs the script of
``as_owner`` (host/lib/paths.sh) in the folder itself, with the same uid, and ends. A ``docker exec
--workdir FOLDER CONTAINER ... sh -euc SCRIPT`` runs likewise where ``OWNER_INSIDE`` has a line
``FOLDER FOLDER-OF-THIS-MACHINE``. Other calls fall through to what follows.

Read from the environment, all optional: ``OWNER_CALLS``, a file to write the calls down in;
``OWNER_INSIDE``; ``OWNER_KILL``, what ``kill`` does in a script of ``docker exec`` (by itself it
would signal process 1 of this machine); ``OWNER_CAPS``, capabilities for a test's own shims.
"""

OWNER_CONTAINERS = r"""
owner_of() { stat -c "$1" -- "$2"; }

become_owner() { # UID:GID COMMAND...
  owner=$1
  shift
  if [ "$owner" = 0:0 ]; then exec "$@"; fi
  exec setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups \
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

in_broker_container() { # docker's words; returns where nothing is told of the folder
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
