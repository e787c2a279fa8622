#!/bin/sh
# Create the log file of a broker. An existing log keeps its content.
#
# Arguments: $1: apply | remove (remove does nothing)
# Calls: log_file PATH MODE UID GID
# Stdin: nothing
# Prints: nothing
# Exit codes: of `fail`: 1, with one message on stderr
# needs: lib/paths.sh

# shellcheck disable=SC2154 # action: defined in the script that follows
# Mosquitto can open an existing log, and can't create one in a folder of root.
log_file() { # PATH MODE UID GID
  [ "$action" = apply ] || return 0
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then
    : >"$1" || fail "$1: can't be created; is the disk full?"
    chmod -- "$2" "$1"
    chown -- "$3:$4" "$1"
  fi
  [ -f "$1" ] && [ ! -L "$1" ] ||
    fail "$1: exists and is not a file; move it away or choose another name"
}
