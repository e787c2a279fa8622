#!/bin/sh
# After `apply`: the named folders are gone, whatever was in them. Refuses while a container still
# has one of them mounted.
set -eu

folders=''

erase() { # PATH SOCKET
  users=$(docker -H "$2" ps --all --filter "volume=$1" --format '{{.Names}}' </dev/null | tr '\n' ' ')
  if [ -n "$users" ]; then
    echo "$1: still mounted by $users; take that down first" >&2
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
