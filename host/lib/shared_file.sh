#!/bin/sh
# A file of ours in a folder that need not be root's alone, such as Debian's /var/lib/prometheus: it
# is written and removed by a process that sees nothing but the first folder on the way that others
# may change.
# needs: lib/paths.sh

# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand those scripts; host/lib/paths.sh has the others
shared='' # that folder; empty where all of them are root's
below=''  # the file's path in it

find_shared() { # PATH
  shared=''
  below=''
  ! root_only "$(dirname -- "$1")" || return 0
  reason=$why
  shared=/
  below=${1#/}
  while root_only "$shared"; do
    shared=${shared%/}/${below%%/*}
    below=${below#*/}
  done
  # Docker would follow a link as root.
  [ "$shared" != / ] && [ -d "$shared" ] && [ ! -L "$shared" ] || fail "$1: $reason"
}

# The folder that takes the file may be root's again, and its owner alone may write there. As root
# has no capability there, it can do no more than any other owner.
in_shared() { # SOCKET IMAGE SCRIPT
  owner_user=$(stat -c %u:%g -- "$(dirname -- "$shared/$below")" 2>/dev/null) || owner_user=''
  as_owner "$1" "$2" "$shared" rw 20 "$3" "$below"
  owner_user=''
}

write_shared() { # SOCKET IMAGE PATH, the text on stdin; readable for everybody
  find_shared "$3"
  if [ -z "$shared" ]; then
    make_folder "$(dirname -- "$3")"
    # Who reads the folder looks for the final name: not at what is still being written.
    rm -f -- "$3.new"
    (umask 022 && set -C && cat >"$3.new") || fail "$3: can't be written; is the disk full?"
    mv -f -- "$3.new" "$3"
  else
    in_shared "$1" "$2" 'umask 022
mkdir -p "$(dirname "$1")"
rm -f "$1.new"
set -C
cat >"$1.new"
mv -f "$1.new" "$1"' || fail "$3: can't be written by the owner of its folder"
  fi
}

remove_shared() { # SOCKET IMAGE PATH
  find_shared "$3"
  if [ -z "$shared" ]; then
    rm -f -- "$3"
  else
    in_shared "$1" "$2" 'rm -f "$1"' </dev/null || fail "$3: can't be removed by the owner of its folder"
  fi
}
