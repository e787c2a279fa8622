#!/bin/sh
# Create the log file of a broker. An existing log keeps its content, and gets the owner.
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
    log_owner=$(stat -c %u -- "$1")
    # The folder belongs to root. The rotated logs of the former owner go with the log.
    [ "$log_owner" = "$3" ] || ! root_only "$(dirname -- "$1")" ||
      find "$(dirname -- "$1")" -maxdepth 1 -type f -user "$log_owner" \
        '(' -name "${1##*/}.[0-9]*" -o -name "${1##*/}-[0-9]*" ')' -exec chown -h -- "$3:$4" {} +
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
