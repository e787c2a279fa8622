#!/bin/sh
# Decide where root may work, and run work with the rights of a folder's owner. Every script that runs as
# root on the host begins with this one.
#
# The rule: root creates, changes, deletes and reads a file only if every folder of its path belongs to root
# and no other user may write to it. In any other folder, its owner can replace a name by a link between
# two steps of a script, and root would follow the link. Files in such a folder are handled by `as_owner`.
#
# Arguments: none
# Calls: none; the other scripts call the functions
# Stdin: `as_owner` passes its stdin on
# Prints: `entries_of_others`: `NAME, NAME`; `as_owner`: what its script prints
# Exit codes: of `fail`: 1, with one message on stderr
set -eu
umask 077

# The message of the last `root_only` that failed.
why=''

fail() {
  echo "$*" >&2
  exit 1
}

# Whether only root can change every folder from / down to PATH, and PATH itself if it is a folder. A
# symbolic link counts as the folders that it names. Folders that do not exist yet pass: root will create
# them. A folder such as /tmp, where others may add names but not replace those of root, passes, too.
root_only() { # PATH
  root_rest=$1/
  root_way=''
  root_links=0
  why=''
  root_enter / || return 1
  while [ -n "$root_rest" ]; do
    root_name=${root_rest%%/*}
    root_rest=${root_rest#*/}
    case $root_name in
      '' | .) continue ;;
      ..)
        root_way=${root_way%/*}
        continue
        ;;
    esac
    if [ -L "$root_way/$root_name" ]; then
      root_links=$((root_links + 1))
      [ "$root_links" -le 40 ] || root_refuse "$1: has more than 40 symbolic links" || return 1
      root_enter "$root_way/$root_name" || return 1
      root_target=$(readlink -- "$root_way/$root_name")
      case $root_target in /*) root_way='' ;; esac
      root_rest=$root_target/$root_rest
    elif [ -e "$root_way/$root_name" ] && [ ! -d "$root_way/$root_name" ]; then
      [ -z "$root_rest" ] || root_refuse "$root_way/$root_name is not a folder" || return 1
    elif [ -e "$root_way/$root_name" ]; then
      root_way=$root_way/$root_name
      root_enter "$root_way" || return 1
    else
      # Another user may create the name meanwhile in a folder such as /tmp: `make_folder` tests again.
      return 0
    fi
  done
}

root_enter() { # PATH: a folder, or a symbolic link
  root_found=$(stat -c '%u %a %F' -- "$1") || root_refuse "$1: can't be read" || return 1
  root_uid_there=${root_found%% *}
  root_found=${root_found#* }
  [ "$root_uid_there" = 0 ] ||
    root_refuse "$1 belongs to user $root_uid_there, who could replace what root writes below it (chown root $1)" ||
    return 1
  case ${root_found#* } in
    'symbolic link') return 0 ;;
  esac
  # The sticky bit: other users can't rename or delete files of root here.
  case 000${root_found%% *} in
    *[1357][0-7][0-7][0-7]) ;;
    *[2367][0-7] | *[2367])
      root_refuse "users other than root may write $1, and could replace what root writes below it (chmod go-w $1)" ||
        return 1
      ;;
  esac
}

root_refuse() {
  why=$*
  return 1
}

# Creates PATH and its parents one by one: mkdir fails if another user has created the name meanwhile.
make_folder() { # PATH: owned by root, mode 0755
  root_only "$1" || fail "$why"
  [ ! -d "$1" ] || return 0
  make_folder "$(dirname -- "$1")"
  (umask 022 && mkdir -- "$1") 2>/dev/null || [ -d "$1" ] || fail "$1: can't be created"
  root_only "$1" || fail "$why"
}

# Prints the names in FOLDER that match none of the patterns: `NAME, NAME`, or nothing.
entries_of_others() { # FOLDER [PATTERN...]
  entries_in=$1
  shift
  find "$entries_in" -mindepth 1 -maxdepth 1 | but_for "$@"
}

but_for() { # [PATTERN...]; paths on stdin: prints the names that match no pattern
  sed 's,.*/,,' | while IFS= read -r entry; do
    known=no
    for pattern in "$@"; do
      # shellcheck disable=SC2254 # a pattern
      case $entry in $pattern) known=yes ;; esac
    done
    [ "$known" = yes ] || printf '%s, ' "$entry"
  done | sed 's/, $//'
}

# Waits up to SECONDS for the lock on the open file FD; returns 1 if another process holds it for longer.
# BusyBox's flock(1) knows no time limit (-w). Its timeout(1) ends with the signal's status, 143.
lock_within() { # SECONDS FD
  lock_status=0
  timeout "$1" flock "$2" || lock_status=$?
  case $lock_status in
    0) ;;
    124 | 143) return 1 ;;
    *) fail "the command flock failed on this host with status $lock_status (Debian, Ubuntu: apt-get" \
      "install util-linux)" ;;
  esac
}

mounted() { # FOLDER: whether it is a mount point; mountinfo(5) has \040 for a blank
  awk -v folder="$(printf '%s' "$1" | sed 's/ /\\\\040/g')" '$5 == folder { found = 1 } END { exit !found }' \
    /proc/self/mountinfo
}

# Prepares a folder for a container of a user: the files belong to the user, the folders to root, so that
# only root can add, rename or remove names.
hand_over() { # FOLDER UID GID
  find "$1" -type f -exec chown -h -- "$2:$3" {} +
  find "$1" -type d -exec chown -h -- "0:$3" {} + -exec chmod 0750 {} +
}

# Runs SCRIPT with the rights of the folder's owner, in a container of IMAGE that mounts only the folder (as
# /folder, its working directory): no link leads out of it. It has the caller's stdin and stdout. If there
# is a fifo in place of a file, it fails after SECONDS.
#
# setpriv(1) and su(1) are no alternative: those of BusyBox know no numeric users, and a process on the host
# can read every world-readable file.
owner_user='' # UID:GID instead of the owner
as_owner() { # SOCKET IMAGE FOLDER ro|rw SECONDS SCRIPT [WORD...]
  owner_socket=$1
  owner_image=$2
  owner_folder=$3
  owner_access=$4
  owner_seconds=$5
  shift 5
  # Docker would create a missing folder as root.
  [ -d "$owner_folder" ] || return 1
  docker -H "$owner_socket" run --rm --interactive --init --pull never --log-driver none \
    --network none --read-only --cap-drop ALL --security-opt no-new-privileges:true \
    --pids-limit 64 \
    --user "${owner_user:-$(stat -c %u:%g -- "$owner_folder")}" --workdir /folder \
    --volume "$owner_folder:/folder:$owner_access" --entrypoint timeout "$owner_image" \
    "$owner_seconds" sh -euc "umask 077; $1" "$@"
}
