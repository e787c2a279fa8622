#!/bin/sh
# Install a logrotate(8) file for the broker's log. `remove` deletes it.
#
# Installs nothing if the host has no logrotate, or if another file rotates the same log.
#
# Arguments: $1: apply | remove
# Calls: rotated LOG PATH MODE UID GID; finish
# Stdin: the script and its calls. `rotated`: the text of the file
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh

# shellcheck disable=SC2154 # action, new and old: defined in host/lib/put_files.sh

PATH=$PATH:/usr/sbin:/sbin
log=''

rotated() { # LOG PATH MODE UID GID, the text on stdin
  log=$1
  shift
  if [ "$action" = remove ] || command -v logrotate >/dev/null 2>&1; then
    put "$@"
  else
    cat >/dev/null
  fi
}

check() { # PATH
  output=$(logrotate --debug "$1$new" 2>&1) || fail "logrotate refuses its file, nothing was changed: $output"
}

validate() { each_path check; }

drop_duplicate() { # PATH: with two files for one log, logrotate fails every day
  rm -f -- "$1$old"
  ! logrotate --debug /etc/logrotate.conf 2>&1 | grep -qF "duplicate log entry for $log" || rm -f -- "$1"
}

settle() { each_path drop_duplicate; }
