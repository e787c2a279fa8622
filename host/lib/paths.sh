#!/bin/sh
# Where root may work, and how it hands work to the owner of a folder. Every script that runs as
# root on the host begins with this one.
#
# The rule: root creates, changes, deletes and reads a file only where every folder on the way to it
# belongs to root and nobody else may write it. In any other folder its owner can put a link in place
# of a name between two steps of a script, and root would follow it. What lies in such a folder is
# handled by `as_owner`.
set -eu
umask 077

# The sentence of the last root_only that failed.
why=''

fail() {
  echo "$*" >&2
  exit 1
}

# Whether every folder from / down to PATH is root's alone: PATH too, where it is a folder. A symbolic
# link on the way counts as the folders that it names. Folders that do not exist are root's to make.
# A folder such as /tmp, where others may add names but not replace root's, is passed through.
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
      # A name that appears from now on in a folder such as /tmp: `make_folder` looks again.
      return 0
    fi
  done
}

root_enter() { # PATH: a folder, or a symbolic link
  root_found=$(stat -c '%u %a %F' -- "$1") || root_refuse "$1: can't be looked at" || return 1
  root_uid_there=${root_found%% *}
  root_found=${root_found#* }
  [ "$root_uid_there" = 0 ] ||
    root_refuse "$1 belongs to user $root_uid_there, who could replace what root writes below it (chown root $1)" ||
    return 1
  case ${root_found#* } in
    'symbolic link') return 0 ;;
  esac
  # The sticky bit: whoever may write here can't rename or delete what is root's.
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

# One folder after the other, each by a mkdir that fails where somebody was quicker.
make_folder() { # PATH: root's, mode 0755
  root_only "$1" || fail "$why"
  [ ! -d "$1" ] || return 0
  make_folder "$(dirname -- "$1")"
  (umask 022 && mkdir -- "$1") 2>/dev/null || [ -d "$1" ] || fail "$1: can't be made"
  root_only "$1" || fail "$why"
}

# Prints the names in FOLDER that fit none of the patterns, or nothing.
entries_of_others() { # FOLDER [PATTERN...]
  entries_in=$1
  shift
  find "$entries_in" -mindepth 1 -maxdepth 1 | but_for "$@"
}

but_for() { # [PATTERN...], paths on stdin
  sed 's,.*/,,' | while IFS= read -r entry; do
    known=no
    for pattern in "$@"; do
      # shellcheck disable=SC2254 # a pattern
      case $entry in $pattern) known=yes ;; esac
    done
    [ "$known" = yes ] || printf '%s, ' "$entry"
  done | sed 's/, $//'
}

mounted() { # FOLDER, of mountinfo(5), where a blank is \040
  awk -v folder="$(printf '%s' "$1" | sed 's/ /\\\\040/g')" '$5 == folder { found = 1 } END { exit !found }' \
    /proc/self/mountinfo
}

# What is about to be mounted into a container of that user: its files are the user's, its folders
# are root's, so that only root can change what lies where.
hand_over() { # FOLDER UID GID
  find "$1" -type f -exec chown -h -- "$2:$3" {} +
  find "$1" -type d -exec chown -h -- "0:$3" {} + -exec chmod 0750 {} +
}

# Runs SCRIPT with the rights of the folder's owner and no other ones, in a container of IMAGE that
# sees nothing but the folder (as /folder, where it begins): no link leads out of it. Its stdin and
# stdout are the caller's. Where a fifo lies in place of a file, it fails after SECONDS.
#
# A container, and not setpriv(1) or su(1): BusyBox's have no numeric users, and what runs on the
# host can still read whatever everybody may.
owner_user='' # UID:GID in the owner's place
as_owner() { # SOCKET IMAGE FOLDER ro|rw SECONDS SCRIPT [WORD...]
  owner_socket=$1
  owner_image=$2
  owner_folder=$3
  owner_access=$4
  owner_seconds=$5
  shift 5
  # Docker makes a folder that is missing, as root.
  [ -d "$owner_folder" ] || return 1
  docker -H "$owner_socket" run --rm --interactive --init --pull never --log-driver none \
    --network none --read-only --cap-drop ALL --security-opt no-new-privileges:true \
    --pids-limit 64 \
    --user "${owner_user:-$(stat -c %u:%g -- "$owner_folder")}" --workdir /folder \
    --volume "$owner_folder:/folder:$owner_access" --entrypoint timeout "$owner_image" \
    "$owner_seconds" sh -euc "umask 077; $1" "$@"
}
