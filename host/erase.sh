#!/bin/sh
# After `apply`: the named folders are gone, whatever was in them. Refuses while a container still
# has one of them mounted.
# needs: paths.sh
set -eu

folders=''

erase() { # PATH SOCKET
  # Not in a pipe: a Docker that doesn't answer must not read as "nobody has it".
  users=$(docker -H "$2" ps --all --filter "volume=$1" --format '{{.Names}}' </dev/null) || exit 1
  if [ -n "$users" ]; then
    echo "$1: still mounted by $(printf '%s' "$users" | tr '\n' ' '); take that down first" >&2
    exit 1
  fi
  folders="$folders$1
"
}

finish() {
  printf '%s' "$folders" | while IFS= read -r path; do
    rm -rf -- "$path"
  done
}
