#!/bin/sh
# With host/lib/put_files.sh before it. After `apply`: logrotate(8) rotates the broker's log, where the host
# has it and where no file of somebody else's has it do so already. After `remove`: ours is gone.
# needs: lib/put_files.sh

# shellcheck disable=SC2154 # action, new and old: host/lib/put_files.sh has them

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

refuse() { # PATH
  said=$(logrotate --debug "$1$new" 2>&1) || fail "logrotate refuses its file, nothing was changed: $said"
}

validate() { each_path refuse; }

keep_one() { # PATH: with two files for one log, logrotate rotates by neither and fails every day
  rm -f -- "$1$old"
  ! logrotate --debug /etc/logrotate.conf 2>&1 | grep -qF "duplicate log entry for $log" || rm -f -- "$1"
}

settle() { each_path keep_one; }
