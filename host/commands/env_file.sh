#!/bin/sh
# Put an env file in place as a whole, with its owner and mode. `remove` deletes it, unless another program
# has replaced it.
#
# The folder may belong to the application that reads the file. Then the file is written in a folder of
# root beside that one and renamed into it: a rename follows no link.
#
# Arguments: $1: apply | remove
# Calls: env_file PATH MODE UID GID; finish
# Stdin: the script and its calls. `env_file`: the text of the file
# Prints: nothing; on stderr `PATH: was not written by this stack, and stays` if `remove` left a file
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh

# shellcheck disable=SC2154 # action, why: defined in host/lib/put_files.sh and host/lib/paths.sh
staging=''  # a folder of root on the same file system as the folder of the other user
declared='' # the path of the env file, if it is in a folder of another user
shared=''   # the same, without symbolic links
first=''    # the first line of an env file of this program

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
  root_only "$(dirname -- "$place")" || fail "$1: $why. Choose a path whose folders, except the last, belong to root"
  place=$(readlink -f -- "$place")
  root_only "$(dirname -- "$place")" || fail "$1: $why. Choose a path whose folders, except the last, belong to root"
  ! mounted "$place" ||
    fail "$1: $place is a mount point, and $refused. Choose a folder of root below it"
  declared=$1
  shared=$place/${1##*/}
  staging=$(dirname -- "$place")/.sentient-mqtt-$(printf '%s' "$shared" | sha256sum | cut -c 1-16)
  # A killed run may have left it.
  [ ! -e "$staging" ] || { root_only "$staging" && rm -rf -- "$staging"; } || fail "$1: $why"
  mkdir -- "$staging" || fail "$1: can't create a folder beside $place"
  [ "$action" = apply ] || return 0
  printf '%s\n' "$text" >"$staging/new" ||
    fail "$1: can't be written; is the disk full? The file in place is untouched"
  chmod -- "$2" "$staging/new"
  chown -- "$3:$4" "$staging/new"
  made_shared "$declared" "$2" "$3" "$4" "$(sha256sum <"$staging/new" | cut -d ' ' -f 1)"
}

swap() { # PATH: a file of another program is moved away
  [ ! -s "$1" ] || is_ours "$1" || move_away "$1"
  mv -f -- "$1$new" "$1"
}

tidy() {
  [ -z "$staging" ] || rm -rf -- "$staging"
}

settle() {
  [ -n "$shared" ] || return 0
  # Renames follow no link. This one fails if there is a folder.
  if mv -fT -- "$staging/new" "$shared" 2>/dev/null; then return 0; fi
  ! made_before "$declared" || mv -T -- "$shared" "$shared.sentient-mqtt-moved-$(date +%s)" || :
  mv -fT -- "$staging/new" "$shared" ||
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

is_ours() { # PATH, in a folder of root
  [ -f "$1" ] && [ ! -L "$1" ] && [ "$(head -n 1 -- "$1")" = "$first" ]
}

kept() {
  [ ! -e "$1" ] || echo "$1: was not written by this stack, and stays" >&2
}
