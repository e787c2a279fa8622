#!/bin/sh
# Report the state of a broker. Changes nothing. The reader is broker/checks/checklist.py.
#
# In the folders of the broker's uid it opens no file and follows no link.
#
# Arguments: $1: look
# Calls: those of host/commands/probe.sh; broker CONTAINER; file PATH; owner FOLDER; space FOLDER;
#   digest PATH; passwords PATH; blocks PATH; backups FOLDER CONTAINER; finish
# Stdin: the script and its calls
# Prints: `KEY SUBJECT=VALUE` per line: `now -=SECONDS`; of a container `state`, `health`, `restarts`,
#   `started`; of a path `file PATH=MODE UID GID MTIME BYTES` (or absent), `owner PATH=UID:GID`,
#   `space PATH=KIB_TOTAL KIB_FREE`, `digest PATH=SHA256`, `passwords -=HASHED OTHER`,
#   `blocks PATH=SHA256`; `backup KIND=NOTE` and `there KIND=yes`, KIND: verified | drilled | filled
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: commands/probe.sh

# shellcheck disable=SC2154 # docker: defined in host/commands/probe.sh

broker() { # CONTAINER
  say now - "$(date -u +%s)"
  [ "$docker" = ok ] || return 0
  # Docker prints an empty line for a container that does not exist.
  state=$(daemon container inspect --format '{{.State.Status}}' "$1" 2>/dev/null) || state=absent
  say state "$1" "$state"
  [ "$state" != absent ] || return 0
  say health "$1" "$(daemon container inspect \
    --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$1" 2>/dev/null)"
  say restarts "$1" "$(daemon container inspect --format '{{.RestartCount}}' "$1" 2>/dev/null)"
  say started "$1" "$(daemon container inspect --format '{{.State.StartedAt}}' "$1" 2>/dev/null)"
}

file() { # PATH: mode, uid, gid, time of the last change in seconds since 1970, size in bytes
  [ "$root" = yes ] || return 0
  found=$(as_root stat -c '%F %a %u %g %Y %s' -- "$1" 2>/dev/null) || found=absent
  case $found in
    'regular file '* | 'regular empty file '*) say file "$1" "${found#*file }" ;;
    *) say file "$1" absent ;;
  esac
}

owner() { # FOLDER
  [ "$root" = yes ] || return 0
  say owner "$1" "$(as_root stat -c '%u:%g' -- "$1" 2>/dev/null || echo absent)"
}

space() { # FOLDER, or its nearest existing parent: total and free KiB
  [ "$root" = yes ] || return 0
  say space "$1" "$(df -Pk -- "$(nearest_existing "$1")" | awk 'NR == 2 { print $2, $4 }')"
}

digest() { # PATH: of the content, which is secret
  [ "$root" = yes ] || return 0
  [ "$(as_root stat -c %F -- "$1" 2>/dev/null)" = 'regular file' ] || return 0
  if root_only "$1"; then
    sum=$(as_root cat -- "$1" | sha256sum)
  elif root_only "$(dirname -- "$(dirname -- "$1")")" && [ -n "$present" ]; then
    sum=$(read_confined "$1" sha256sum)
  else
    return 0
  fi
  say digest "$1" "${sum%% *}"
}

passwords() { # PATH: the number of lines with a login and a hash, and of other lines
  [ "$root" = yes ] && root_only "$1" || return 0
  as_root cat -- "$1" 2>/dev/null | awk '
    /^[^:]+:\$[67]\$[^:]+$/ { hashed++; next }
    /./ { other++ }
    END { printf "passwords -=%d %d\n", hashed, other }'
}

blocks() { # PATH: a digest of the file's paragraphs, in any order
  [ "$root" = yes ] && root_only "$1" || return 0
  say blocks "$1" "$(as_root cat -- "$1" 2>/dev/null |
    awk 'BEGIN { RS = "" } { gsub(/\n/, "\001"); print }' | LC_ALL=C sort | sha256sum | cut -d ' ' -f 1)"
}

backups() { # FOLDER CONTAINER: the notes of backup.sh and verify_backup.sh
  [ "$root" = yes ] && root_only "$1" || return 0
  say backup asked yes
  for kind in verified drilled filled; do
    note=$(as_root cat -- "$1/.$kind-$2" 2>/dev/null) || note=''
    say backup "$kind" "$note"
    archive=${note#* }
    archive=${archive%% *}
    if [ -n "$archive" ] && as_root test -f "$1/$archive"; then say there "$kind" yes; fi
  done
}
