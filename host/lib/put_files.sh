#!/bin/sh
# After `apply`: every file has its text, owner and mode; or, where anything failed, every file is
# as it was. After `remove`: the files are gone. host/commands/apply_configuration.sh goes on from here for a broker.
# needs: lib/paths.sh

# shellcheck disable=SC2034,SC2154 # host/commands/apply_configuration.sh reads uid and gid; host/lib/paths.sh has the others
action=$1
paths='' # in the order in which they are put in place, one a line
placing=no
narrowed='' # the one file that was put in place before its turn
uid=''      # of whoever reads the files
gid=''

# Beside the file, so that a rename swaps it; ours by name, so that nobody's own x.new is lost.
new=.sentient-mqtt-new
old=.sentient-mqtt-old

discard() {
  printf '%s' "$paths" | while IFS= read -r path; do
    rm -f -- "$path$new" "$path$old"
  done
}

tidy() { # folders of ours that hold nothing any more; what follows may have its own
  [ "$action" = remove ] || return 0
  printf '%s' "$paths" | while IFS= read -r path; do
    case $path in
      /etc/sentient-mqtt/*) rmdir -p -- "${path%/*}" 2>/dev/null || : ;;
    esac
  done
}

end() {
  status=$?
  # A rename that failed, or a signal, between the first and the last of them.
  [ "$placing" = no ] || put_back
  tidy
  discard
  exit "$status"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

put() { # PATH MODE UID GID, the text on stdin
  paths="$paths$1
"
  if [ "$action" = remove ]; then
    cat >/dev/null
    root_only "$(dirname -- "$1")" || fail "$1: was not removed: $why"
    return 0
  fi
  make_folder "$(dirname -- "$1")"
  [ ! -d "$1" ] || fail "$1: is a folder; move it away or choose another path"
  uid=$3
  gid=$4
  # A full disk ends here: nothing has been put in place yet.
  rm -f -- "$1$new"
  (set -C && cat >"$1$new") ||
    fail "$1: can't be written; is the disk full? The file in place is untouched"
  chown -- "$3:$4" "$1$new"
  chmod -- "$2" "$1$new"
}

# Calls a function with each path. Not a pipe into `while`: there `exit` would leave the loop alone.
each_path() { # FUNCTION
  while IFS= read -r path; do
    [ -z "$path" ] || "$1" "$path"
  done <<EOT
$paths
EOT
}

keep_previous() {
  rm -f -- "$1$old"
  [ ! -e "$1" ] || cp -p -- "$1" "$1$old" ||
    fail "$1: can't be copied aside; is the disk full? Nothing was changed"
}

swap() { mv -f -- "$1$new" "$1"; }

restore() { # what was swapped; it was not while the new one still waits beside it
  [ ! -e "$1$new" ] || [ "$1" = "$narrowed" ] || return 0
  if [ -e "$1$old" ]; then mv -f -- "$1$old" "$1"; else rm -f -- "$1"; fi
}

delete() { rm -f -- "$1"; }

validate() { :; } # before anything is put in place
narrow() { :; }   # before the first of them is
settle() { :; }   # afterwards
unsettle() { :; } # before the files go

put_back() { each_path restore; }

finish() {
  if [ "$action" = remove ]; then
    unsettle
    each_path delete
    return 0
  fi
  validate
  # On disk before in place: after a power cut a name must not stand for an empty file.
  sync
  each_path keep_previous
  placing=yes
  narrow
  each_path swap
  placing=no
  settle
}
