#!/bin/sh
# Install a script on the host and run it by a timer: a systemd timer where systemd runs, otherwise cron.
#
# `remove` removes the timer and the script; the files that the script made stay, except those of `written`.
#
# Arguments: $1: apply | remove
# Calls: schedule NAME SETTING COMMAND; put, unit, cron PATH MODE UID GID; written PATH SOCKET IMAGE; finish.
#   SETTING: the stack file's setting, for messages; COMMAND: what the script needs on the host, or empty
# Stdin: the script and its calls. `put`, `unit`, `cron`: the text of the file
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh
# needs: lib/shared_file.sh

# shellcheck disable=SC2154 # defined in host/lib/put_files.sh
name=''
setting=''
needs=''

schedule() { # NAME SETTING COMMAND: of the units; of the stack file; a program that the script needs
  name=$1
  setting=$2
  needs=$3
}

written() { # PATH SOCKET IMAGE: a file that the script writes and that is removed with it
  [ "$action" = apply ] || remove_shared "$2" "$3" "$1"
}

by_systemd() { [ -d /run/systemd/system ]; }

unit() { # as `put`, if systemd runs
  if by_systemd || [ "$action" = remove ]; then put "$@"; else cat >/dev/null; fi
}

cron() { # as `put`, if systemd does not run
  if by_systemd && [ "$action" = apply ]; then
    cat >/dev/null
    rm -f -- "$1"
  else
    put "$@"
  fi
}

validate() {
  [ -z "$needs" ] || command -v "$needs" >/dev/null ||
    fail "$setting: $needs is not installed on the host: apt-get install $needs. Nothing was changed"
  by_systemd || command -v cron >/dev/null || command -v crond >/dev/null ||
    fail "$setting: the host has neither systemd nor cron, so nothing would run the script: \
apt-get install cron. Nothing was changed"
}

settle() {
  ! by_systemd || made enabled "$name.timer"
  ! by_systemd || { systemctl daemon-reload && systemctl enable --quiet --now "$name.timer"; } ||
    fail "systemd does not enable the timer: see systemctl status $name.timer"
}

unsettle() {
  ! by_systemd || systemctl disable --quiet --now "$name.timer" 2>/dev/null || :
}
