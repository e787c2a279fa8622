#!/bin/sh
# Create the log file of a broker. An existing log keeps its content.
#
# Arguments: $1: apply | remove (remove does nothing)
# Calls: log_file PATH MODE UID GID
# Stdin: nothing
# Prints: nothing
# Exit codes: of `fail`: 1, with one message on stderr
# needs: lib/paths.sh
# needs: lib/applied.sh

# shellcheck disable=SC2154 # action: defined in the script that follows
# Mosquitto can open an existing log, and can't create one in a folder of root.
log_file() { # PATH MODE UID GID
  [ "$action" = apply ] || return 0
  made written "$1"
  if [ -f "$1" ] && [ ! -L "$1" ]; then
    chmod -- "$2" "$1"
    chown -- "$3:$4" "$1"
    return 0
  fi
  if [ -e "$1" ] || [ -L "$1" ]; then
    made_before "$1" || fail "$1: exists and is not a file; move it away or choose another name"
    move_away "$1"
  fi
  : >"$1" || fail "$1: can't be created; is the disk full?"
  chmod -- "$2" "$1"
  chown -- "$3:$4" "$1"
}
