#!/bin/sh
# With host/files.sh before it. After `apply`: the host's own clock starts the backup, systemd's
# where systemd runs, else cron's. After `remove`: nothing does; the archives stay.

# shellcheck disable=SC2154 # host/files.sh has the others
name=''
age=no

schedule() { # NAME yes|no: of units and file; whether the host needs age
  name=$1
  age=$2
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
  [ "$age" = no ] || command -v age >/dev/null ||
    fail "broker.backups.recipient: age is not on the host: apt-get install age. Nothing was changed"
  by_systemd || command -v cron >/dev/null || command -v crond >/dev/null ||
    fail "broker.backups.schedule: neither systemd nor cron is on the host, so nothing would start \
a backup: apt-get install cron. Nothing was changed"
}

settle() {
  ! by_systemd || { systemctl daemon-reload && systemctl enable --quiet --now "$name.timer"; } ||
    fail "systemd does not take the timer: see systemctl status $name.timer"
}

unsettle() {
  ! by_systemd || systemctl disable --quiet --now "$name.timer" 2>/dev/null || :
}

tidy() {
  [ "$action" = apply ] || {
    printf '%s' "$paths" | while IFS= read -r path; do
      rmdir -- "$(dirname -- "$path")" 2>/dev/null || :
    done
    rmdir /etc/sentient-mqtt 2>/dev/null || :
  }
}
