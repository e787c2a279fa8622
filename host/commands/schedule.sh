#!/bin/sh
# With host/lib/put_files.sh before it. After `apply`: the host's own clock starts a script of ours, systemd's
# where systemd runs, else cron's. After `remove`: nothing does; what the script made stays.
# needs: lib/put_files.sh
# needs: lib/shared_file.sh

# shellcheck disable=SC2154 # host/lib/put_files.sh has the others
name=''
setting=''
needs=''

schedule() { # NAME SETTING COMMAND: of units and file; in the stack file; what the script needs
  name=$1
  setting=$2
  needs=$3
}

written() { # PATH SOCKET IMAGE: what the script writes, and what goes with it
  [ "$action" = apply ] || remove_shared "$2" "$3" "$1"
}

by_systemd() { [ -d /run/systemd/system ]; }

unit() { # as `put`
  if by_systemd || [ "$action" = remove ]; then put "$@"; else cat >/dev/null; fi
}

cron() { # as `put`
  if by_systemd && [ "$action" = apply ]; then
    cat >/dev/null
    rm -f -- "$1"
  else
    put "$@"
  fi
}

validate() {
  [ -z "$needs" ] || command -v "$needs" >/dev/null ||
    fail "$setting: $needs is not on the host: apt-get install $needs. Nothing was changed"
  by_systemd || command -v cron >/dev/null || command -v crond >/dev/null ||
    fail "$setting: neither systemd nor cron is on the host, so nothing would start the script at \
its time: apt-get install cron. Nothing was changed"
}

settle() {
  ! by_systemd || { systemctl daemon-reload && systemctl enable --quiet --now "$name.timer"; } ||
    fail "systemd does not take the timer: see systemctl status $name.timer"
}

unsettle() {
  ! by_systemd || systemctl disable --quiet --now "$name.timer" 2>/dev/null || :
}
