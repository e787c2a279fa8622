#!/bin/sh
# After `apply`: the broker's files in the named folders are gone, and the folders too where nothing
# else was in them. Refuses while a container still has one of them mounted.
# needs: lib/paths.sh

# shellcheck disable=SC2154 # host/lib/paths.sh has the others
folders=''
socket=''
image=''

erase() { # SOCKET IMAGE: what removes the files, with the rights of each folder's owner
  socket=$1
  image=$2
}

folder() { # PATH PATTERN...: the names that are the broker's
  root_only "$(dirname -- "$1")" || fail "$1: $why"
  [ ! -L "$1" ] || fail "$1: is a symbolic link"
  # Not in a pipe: a Docker that doesn't answer must not read as "nobody has it".
  users=$(docker -H "$socket" ps --all --filter "volume=$1" --format '{{.Names}}' </dev/null) || exit 1
  [ -z "$users" ] ||
    fail "$1: still mounted by $(printf '%s' "$users" | tr '\n' ' '); take that down first"
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
    # shellcheck disable=SC2016 # the words of as_owner
    as_owner "$socket" "$image" "$path" rw 600 'for name in $1; do rm -rf -- "./$name"; done' \
      "$patterns" </dev/null || fail "$path: its files could not be deleted"
    rmdir -- "$path" 2>/dev/null || [ ! -e "$path" ] ||
      echo "$path: stays, since it holds what is not the broker's: $(entries_of_others "$path")"
  done
}
