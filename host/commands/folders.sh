#!/bin/sh
# After `apply`: every folder exists, with its owner and mode. After `remove`: those that are "ours"
# are gone where they were empty; those that are "kept" are as they were.
# needs: lib/paths.sh
# needs: lib/log_file.sh

# shellcheck disable=SC2154 # host/lib/paths.sh has the others
action=$1
removed=''

# A folder that exists with another group or mode is taken over only if it holds nothing but NAMES
# (shell patterns): another program's folder stays as it is.
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
    fail "$path: is there already and is not a folder; move it away or choose another path"
  fi
  root_only "$(dirname -- "$path")" || fail "$path: $why"
  if [ -d "$path" ]; then
    others=$(entries_of_others "$path" "$@")
    [ -z "$others" ] || [ "$(stat -c '%g 0%a' -- "$path")" = "${owner#*:} $mode" ] ||
      fail "$path: holds what is not a broker's ($others). Move it away, or choose another folder: \
the folder would get another owner and mode"
  else
    make_folder "$(dirname -- "$path")"
    mkdir -- "$path" || fail "$path: can't be made"
  fi
  # The folder itself only: a broker wrote what is in it, under its own owner.
  chmod -- "$mode" "$path"
  chown -h -- "$owner" "$path"
  # What version 0.1 made belonged to the broker's user, down to the last folder.
  [ "${owner%%:*}" != 0 ] ||
    find "$path" -mindepth 1 -type d ! -user 0 -exec chown -h -- "$owner" {} \; -exec chmod "$mode" {} \;
}

finish() {
  # Innermost first. A folder in which somebody else left a file stays.
  printf '%s' "$removed" | while IFS= read -r path; do
    root_only "$(dirname -- "$path")" || continue
    rmdir -- "$path" 2>/dev/null || :
  done
}
