#!/bin/sh
# Write and remove a file in a folder of another user, such as Debian's /var/lib/prometheus.
#
# A process that sees only the first folder of the path that others may change does the work.
#
# Arguments: none
# Calls: none; host/commands/schedule.sh and host/commands/node_exporter_metrics.sh call the functions
# Stdin: `write_shared`: the text of the file
# Prints: nothing
# Exit codes: of `fail`: 1, with one message on stderr
# needs: lib/paths.sh

# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand these scripts; the others are defined in host/lib/paths.sh
shared='' # the first folder of the path that others may change; empty if there is none
below=''  # the path of the file in that folder

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
  # As root, Docker would follow a link.
  [ "$shared" != / ] && [ -d "$shared" ] && [ ! -L "$shared" ] || fail "$1: $reason"
}

# The folder of the file may belong to root again, and then only root may write to it. Without capabilities,
# root in the container can do no more than any other owner.
in_shared() { # SOCKET IMAGE SCRIPT
  owner_user=$(stat -c %u:%g -- "$(dirname -- "$shared/$below")" 2>/dev/null) || owner_user=''
  as_owner "$1" "$2" "$shared" rw 20 "$3" "$below"
  owner_user=''
}

write_shared() { # SOCKET IMAGE PATH; the text on stdin; the file is world-readable
  find_shared "$3"
  if [ -z "$shared" ]; then
    make_folder "$(dirname -- "$3")"
    # Readers of the folder look for the final name, so they never read an incomplete file.
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
