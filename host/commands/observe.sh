#!/bin/sh
# With host/commands/probe.sh before it: says how the broker is, one `KEY SUBJECT=VALUE` a line, and changes
# nothing. The reader is broker/checks/checklist.py.
#
# In the folders of the broker's uid it looks at files and opens none, and it follows no link.
# needs: commands/probe.sh

# shellcheck disable=SC2154 # docker: host/commands/probe.sh has it

broker() { # CONTAINER
  say now - "$(date -u +%s)"
  [ "$docker" = ok ] || return 0
  # Docker prints an empty line for one that is not there.
  state=$(daemon inspect --format '{{.State.Status}}' "$1" 2>/dev/null) || state=absent
  say state "$1" "$state"
  [ "$state" != absent ] || return 0
  say health "$1" "$(daemon inspect \
    --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$1" 2>/dev/null)"
  say restarts "$1" "$(daemon inspect --format '{{.RestartCount}}' "$1" 2>/dev/null)"
  say started "$1" "$(daemon inspect --format '{{.State.StartedAt}}' "$1" 2>/dev/null)"
}

file() { # PATH: mode, owner, group, seconds since 1970 of its last change, bytes
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

space() { # FOLDER, or where it would be made: KiB in all, and KiB that are free
  [ "$root" = yes ] || return 0
  say space "$1" "$(df -Pk -- "$(standing "$1")" | awk 'NR == 2 { print $2, $4 }')"
}

digest() { # PATH: of what it holds, which is secret
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

passwords() { # PATH: how many lines are a login with a hash, and how many are anything else
  [ "$root" = yes ] && root_only "$1" || return 0
  as_root cat -- "$1" 2>/dev/null | awk '
    /^[^:]+:\$[67]\$[^:]+$/ { hashed++; next }
    /./ { other++ }
    END { printf "passwords -=%d %d\n", hashed, other }'
}

blocks() { # PATH: a digest of the file's paragraphs, in whatever order
  [ "$root" = yes ] && root_only "$1" || return 0
  say blocks "$1" "$(as_root cat -- "$1" 2>/dev/null |
    awk 'BEGIN { RS = "" } { gsub(/\n/, "\001"); print }' | LC_ALL=C sort | sha256sum | cut -d ' ' -f 1)"
}

backups() { # FOLDER CONTAINER: what host/commands/backup.sh and host/commands/verify_backup.sh left there
  [ "$root" = yes ] && root_only "$1" || return 0
  say backup asked yes
  for each in verified drilled filled; do
    note=$(as_root cat -- "$1/.$each-$2" 2>/dev/null) || note=''
    say backup "$each" "$note"
    archive=${note#* }
    archive=${archive%% *}
    if [ -n "$archive" ] && as_root test -f "$1/$archive"; then say there "$each" yes; fi
  done
}
