#!/bin/sh
# After `log_file`: the broker's log is there for the broker to write. What is in it stays.
# needs: lib/paths.sh

# shellcheck disable=SC2154 # action: the script that goes on from here has it
# Mosquitto opens a log that is there, and can make none in a folder of root's.
log_file() { # PATH MODE UID GID
  [ "$action" = apply ] || return 0
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then
    : >"$1" || fail "$1: can't be made; is the disk full?"
    chmod -- "$2" "$1"
    chown -- "$3:$4" "$1"
  fi
  [ -f "$1" ] && [ ! -L "$1" ] ||
    fail "$1: is there already and is not a file; move it away or choose another name"
}
