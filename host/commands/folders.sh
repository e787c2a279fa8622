#!/bin/sh
# Create the folders and the log file of a broker. `remove` deletes the "ours" folders that are empty.
#
# If the data folder gets another owner, the running broker could not read its files any more: its container
# is stopped first, and the files get the new owner. The replaced container then starts with them.
#
# Arguments: $1: apply | remove
# Calls: broker CONTAINER SOCKET IMAGE SECONDS; folder ours|kept PATH MODE UID GID [NAME...];
#   log_file PATH MODE UID GID (host/lib/log_file.sh); finish.
#   SECONDS: the time to stop; NAME: a shell pattern of names that the folder may hold already
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: lib/paths.sh
# needs: lib/applied.sh
# needs: lib/log_file.sh

# shellcheck disable=SC2154 # defined in host/lib/paths.sh
action=$1
removed=''
container=''
socket=''
image=''
grace=''

broker() { # CONTAINER SOCKET IMAGE SECONDS: of the broker that uses the folders
  container=$1
  socket=$2
  image=$3
  grace=$4
}

# An existing folder with another group or mode is taken over only if it holds nothing but NAMES (shell
# patterns): the folder of another program stays as it is.
folder() { # ours|kept PATH MODE UID GID [NAME...]
  kind=$1
  path=$2
  mode=$3
  owner=$4:$5
  shift 5
  if [ "$action" = remove ]; then
    [ "$kind" = kept ] || removed="$path
$removed"
    return 0
  fi
  if [ -L "$path" ] || { [ -e "$path" ] && [ ! -d "$path" ]; }; then
    made_before "$path" || fail "$path: exists and is not a folder; move it away or choose another path"
    move_away "$path"
  fi
  made folder "$path"
  root_only "$(dirname -- "$path")" || fail "$path: $why"
  if [ -d "$path" ]; then
    others=$(entries_of_others "$path" "$@")
    [ -z "$others" ] || made_before "$path" || [ "$(stat -c '%g 0%a' -- "$path")" = "${owner#*:} $mode" ] ||
      fail "$path: holds other files than a broker's ($others). Move them away, or choose another folder: \
the folder would get another owner and mode"
  else
    make_folder "$(dirname -- "$path")"
    mkdir -- "$path" || fail "$path: can't be created"
  fi
  former=$(stat -c %u:%g -- "$path")
  [ "${owner%:*}" = 0 ] || [ "${former%:*}" = 0 ] || [ "$owner" = "$former" ] ||
    change_owner "$path" "$former" "$owner"
  # Only the folder itself: the files in it belong to the broker's user.
  chmod -- "$mode" "$path"
  chown -h -- "$owner" "$path"
  # Version 0.1 gave every folder to the broker's user.
  [ "${owner%%:*}" != 0 ] ||
    find "$path" -mindepth 1 -type d ! -user 0 -exec chown -h -- "$owner" {} \; -exec chmod "$mode" {} \;
}

# The files belong to the broker's uid. They get the new owner in a container that mounts only the folder: no
# link leads out of it, and a file that another user linked into it keeps its owner.
change_owner() { # PATH FORMER NEW: owners as UID:GID
  users=$(docker -H "$socket" ps --filter "volume=$1" --format '{{.Names}}' </dev/null) || exit 1
  case $users in
    '') ;;
    "$container")
      # One that has this user already can read its files: somebody changed the folder by hand.
      [ "$(docker -H "$socket" container inspect --format '{{.Config.User}}' "$container" </dev/null)" = "$3" ] ||
        docker -H "$socket" stop -t "$grace" "$container" </dev/null >/dev/null
      ;;
    *) fail "$1: in use by $(printf '%s' "$users" | tr '\n' ' '); it can't get the owner $3" ;;
  esac
  # shellcheck disable=SC2016 # expanded by the shell in the container
  docker -H "$socket" run --rm --init --pull never --log-driver none --network none --read-only \
    --cap-drop ALL --cap-add CHOWN --cap-add DAC_READ_SEARCH --security-opt no-new-privileges:true \
    --user 0:0 --workdir /folder --volume "$1:/folder:rw" --entrypoint timeout "$image" \
    600 sh -euc 'find . -xdev -user "$0" -exec chown -h "$1" {} +' "${2%:*}" "$3" </dev/null ||
    fail "$1: its files could not be given to $3"
}

finish() {
  # The folder of the records, of scripts and of rules.
  [ -z "$applied_file" ] || [ "$action" = remove ] || made folder "${applied_file%/applied/*}"
  # Innermost first. A folder with other files stays.
  printf '%s' "$removed" | while IFS= read -r path; do
    root_only "$(dirname -- "$path")" || continue
    rmdir -- "$path" 2>/dev/null || :
  done
}
