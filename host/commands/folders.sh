#!/bin/sh
# Create the folders and the log file of a broker. `remove` deletes the "ours" folders that are empty.
#
# Arguments: $1: apply | remove
# Calls: folder ours|kept PATH MODE UID GID [NAME...]; log_file PATH MODE UID GID (host/lib/log_file.sh);
#   finish. NAME: a shell pattern of names that the folder may hold already
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: lib/paths.sh
# needs: lib/applied.sh
# needs: lib/log_file.sh

# shellcheck disable=SC2154 # defined in host/lib/paths.sh
action=$1
removed=''

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
  # Only the folder itself: the files in it belong to the broker's user.
  chmod -- "$mode" "$path"
  chown -h -- "$owner" "$path"
  # Version 0.1 gave every folder to the broker's user.
  [ "${owner%%:*}" != 0 ] ||
    find "$path" -mindepth 1 -type d ! -user 0 -exec chown -h -- "$owner" {} \; -exec chmod "$mode" {} \;
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
