#!/bin/sh
# Record what a command has applied to the host, so that the next preview detects what has changed since.
#
# The record is /etc/sentient-mqtt/CONTAINER/applied/COMPONENT, which only root can read: a line
# `revision NUMBER`, then a line `KIND MODE UID GID SHA256 TIME PATH` per object, with `-` for what does
# not apply; and a line `container - - - - - NAME KEY=VALUE` per line of host/lib/container_facts.sh. KIND: file; loaded (a file that the broker reads); written (a file whose content others write);
# folder; shared (a file in a folder of another user); enabled (a systemd unit); absent.
# host/commands/drift.sh compares the record with the host.
#
# Arguments: $1: apply | remove
# Calls: applied CONTAINER COMPONENT REVISION; record (the last call of all)
# Stdin: nothing
# Prints: nothing
# Exit codes: of `fail`: 1, with one message on stderr
# needs: lib/paths.sh

# shellcheck disable=SC2034,SC2154 # action: defined in the script that follows; applied_kind is read there

applied_file=''     # the record; empty if the caller keeps none
applied_revision=''
applied_objects=''  # `KIND PATH` per line
applied_kind='file' # of the files of `put`; empty: they are not recorded

applied() { # CONTAINER COMPONENT REVISION
  applied_file=/etc/sentient-mqtt/$1/applied/$2
  applied_revision=$3
  [ "$action" = apply ] || return 0
  # Nothing is written below them while another user may write there.
  for applied_folder in /etc/sentient-mqtt "/etc/sentient-mqtt/$1"; do
    [ -d "$applied_folder" ] && [ ! -L "$applied_folder" ] || continue
    chown -- 0:0 "$applied_folder"
    chmod -- 0755 "$applied_folder"
  done
}

# Adds an object to the record. The record is made at the end, from what is on the host then.
made() { # KIND PATH
  applied_objects="$applied_objects$1 $2
"
}

# A file in a folder of another user: root does not read it there.
made_shared() { # PATH MODE UID GID SHA256
  applied_objects="${applied_objects}shared ${2#0} $3 $4 $5 - $1
"
}

# Whether COMPONENT made PATH in its last run. Then a folder in its place is not that of another program.
made_before() { # PATH
  [ -n "$applied_file" ] && [ -f "$applied_file" ] &&
    awk -v path="$1" '$1 != "absent" {
      for (field = 1; field <= 6; field++) sub(/^[^ ]+ /, "")
      if ($0 == path) found = 1
    } END { exit !found }' "$applied_file"
}

# Moves away what has replaced a file or folder of this program; a link and an empty folder are deleted.
move_away() { # PATH
  if [ -L "$1" ]; then
    rm -f -- "$1"
    return 0
  fi
  rmdir -- "$1" 2>/dev/null || mv -- "$1" "$1.sentient-mqtt-moved-$(date +%s)" ||
    fail "$1: can't be moved away"
}

# Whether the file PATH has the content that COMPONENT gave it; yes if there is no record of it.
same_content() { # PATH [TIME]: the time of its last change, where that matters
  made_before "$1" || return 0
  [ -f "$1" ] && [ ! -L "$1" ] || return 1
  awk -v path="$1" -v digest="$(sha256sum <"$1" | cut -d ' ' -f 1)" -v time="${2-}" '
    { known = $5; changed = $6; for (field = 1; field <= 6; field++) sub(/^[^ ]+ /, "") }
    $0 == path && known == digest && (changed == "-" || time == "" || changed == time) { same = 1 }
    END { exit !same }
  ' "$applied_file"
}

# As `same_content`, and it was not changed and changed back.
as_applied() { # PATH
  same_content "$1" "$(stat -c %Y -- "$1" 2>/dev/null)"
}

# Whether the files that the broker reads have the content that another component gave them.
others_as_applied() { # CONTAINER COMPONENT
  applied_others=/etc/sentient-mqtt/$1/applied/$2
  [ -f "$applied_others" ] || return 0
  while read -r applied_what _ _ _ applied_digest applied_time applied_path; do
    [ "$applied_what" = loaded ] || continue
    [ -f "$applied_path" ] && [ ! -L "$applied_path" ] &&
      [ "$(sha256sum <"$applied_path" | cut -d ' ' -f 1)" = "$applied_digest" ] &&
      [ "$(stat -c %Y -- "$applied_path")" = "$applied_time" ] || return 1
  done <"$applied_others"
}

# Creates a folder of this program, or corrects what is in its place.
own_folder() { # PATH MODE UID GID
  if [ -L "$1" ] || { [ -e "$1" ] && [ ! -d "$1" ]; }; then move_away "$1"; fi
  # Before `make_folder`, which fails if another user may write to the folder.
  [ ! -d "$1" ] || chown -h -- "$3:$4" "$1"
  [ ! -d "$1" ] || chmod -- "$2" "$1"
  make_folder "$1"
  chown -h -- "$3:$4" "$1"
  chmod -- "$2" "$1"
  made folder "$1"
}

describe() { # KIND PATH
  if [ "$1" = enabled ]; then
    echo "enabled - - - - - $2"
  elif [ ! -e "$2" ] && [ ! -L "$2" ]; then
    echo "absent - - - - - $2"
  else
    described=-
    described_time=-
    case $1 in file | loaded) described=$(sha256sum <"$2" | cut -d ' ' -f 1) ;; esac
    [ "$1" != loaded ] || described_time=$(stat -c %Y -- "$2")
    echo "$1 $(stat -c '%a %u %g' -- "$2") $described $described_time $2"
  fi
}

record() {
  [ -n "$applied_file" ] || return 0
  applied_folder=${applied_file%/*}
  if [ "$action" = remove ]; then
    rm -f -- "$applied_file"
    rmdir -- "$applied_folder" "${applied_folder%/*}" /etc/sentient-mqtt 2>/dev/null || :
    return 0
  fi
  make_folder "$applied_folder"
  chmod 0700 -- "$applied_folder"
  {
    echo "revision $applied_revision"
    printf '%s' "$applied_objects" | sort -u | while read -r kind rest; do
      case $kind in
        shared | container) echo "$kind $rest" ;;
        *) describe "$kind" "$rest" ;;
      esac
    done
  } >"$applied_file.new" || fail "$applied_file: can't be written; is the disk full?"
  mv -f -- "$applied_file.new" "$applied_file"
}
