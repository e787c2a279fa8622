#!/bin/sh
# Delete the files of a removed broker, and its folders if nothing else is in them.
#
# Fails while a container still mounts one of the folders.
#
# Arguments: $1: apply
# Calls: erase SOCKET IMAGE; folder PATH PATTERN...; finish. PATTERN: a shell pattern of file names
# Stdin: the script and its calls
# Prints: `PATH: stays, since it holds other files than the broker's: NAME, NAME` per folder that stays
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: lib/paths.sh

# shellcheck disable=SC2154 # defined in host/lib/paths.sh
folders=''
socket=''
image=''

erase() { # SOCKET IMAGE: of the container that deletes the files with the rights of the folder's owner
  socket=$1
  image=$2
}

folder() { # PATH PATTERN...: the names of the broker's files
  root_only "$(dirname -- "$1")" || fail "$1: $why"
  [ ! -L "$1" ] || fail "$1: is a symbolic link"
  # Not in a pipe: if Docker does not answer, that must not be taken for "not mounted".
  users=$(docker -H "$socket" ps --all --filter "volume=$1" --format '{{.Names}}' </dev/null) || exit 1
  [ -z "$users" ] ||
    fail "$1: still mounted by $(printf '%s' "$users" | tr '\n' ' '); remove that container first"
  folders="$folders$1
"
  shift
  folders="$folders$*
"
}

finish() {
  printf '%s' "$folders" | while IFS= read -r path; do
    IFS= read -r patterns
    [ -d "$path" ] || continue
    # shellcheck disable=SC2016 # expanded by the shell of as_owner
    as_owner "$socket" "$image" "$path" rw 600 'for name in $1; do rm -rf -- "./$name"; done' \
      "$patterns" </dev/null || fail "$path: its files could not be deleted"
    rmdir -- "$path" 2>/dev/null || [ ! -e "$path" ] ||
      echo "$path: stays, since it holds other files than the broker's: $(entries_of_others "$path")"
  done
}
