#!/bin/sh
# After `apply`: an env file is in place, whole, with its owner and mode. After `remove`: it is gone,
# unless somebody else has put another one in its place.
#
# Its folder may belong to the application that reads it. Then the file is made in a folder of root's
# beside that one and renamed into it: a rename follows no link.
# needs: lib/put_files.sh

# shellcheck disable=SC2154 # action, why: host/lib/put_files.sh and host/lib/paths.sh
staging='' # root's, on the file system of the folder that is not
shared=''  # the path of the env file in that folder
first=''   # the line that an env file of ours begins with

env_file() { # PATH MODE UID GID, the text on stdin
  text=$(cat)
  first=${text%%"
"*}
  if root_only "$(dirname -- "$1")"; then
    put "$@" <<EOT
$text
EOT
    return 0
  fi
  refused=$why
  place=$(dirname -- "$1")
  root_only "$(dirname -- "$place")" || fail "$1: $why. Choose a folder of which all but the last are root's"
  place=$(readlink -f -- "$place")
  root_only "$(dirname -- "$place")" || fail "$1: $why. Choose a folder of which all but the last are root's"
  ! mounted "$place" ||
    fail "$1: $place is a file system of its own, and $refused. Choose a folder in it that is root's"
  shared=$place/${1##*/}
  staging=$(dirname -- "$place")/.sentient-mqtt-$(printf '%s' "$shared" | cksum | cut -d ' ' -f 1)
  # Of a run that was killed.
  [ ! -e "$staging" ] || { root_only "$staging" && rm -rf -- "$staging"; } || fail "$1: $why"
  mkdir -- "$staging" || fail "$1: no folder can be made beside $place"
  [ "$action" = apply ] || return 0
  printf '%s\n' "$text" >"$staging/new" ||
    fail "$1: can't be written; is the disk full? The file in place is untouched"
  chmod -- "$2" "$staging/new"
  chown -- "$3:$4" "$staging/new"
}

tidy() {
  [ -z "$staging" ] || rm -rf -- "$staging"
}

settle() {
  [ -z "$shared" ] || mv -fT -- "$staging/new" "$shared" ||
    fail "$shared: can't be put in place; is a folder of that name there?"
}

delete() { # PATH
  if is_ours "$1"; then rm -f -- "$1"; else kept "$1"; fi
}

unsettle() {
  [ -n "$shared" ] || return 0
  mv -fT -- "$shared" "$staging/old" 2>/dev/null || return 0
  is_ours "$staging/old" || {
    mv -nT -- "$staging/old" "$shared"
    kept "$shared"
  }
}

is_ours() { # PATH, in a folder of root's
  [ -f "$1" ] && [ ! -L "$1" ] && [ "$(head -n 1 -- "$1")" = "$first" ]
}

kept() {
  [ ! -e "$1" ] || echo "$1: was not written by this stack, and stays" >&2
}
