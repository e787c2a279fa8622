#!/bin/sh
# Put files in place with their text, owner and mode, all or none. `remove` deletes them.
#
# host/commands/apply_configuration.sh, for one, overrides `validate`, `narrow`, `settle` and `unsettle`.
#
# Arguments: $1: apply | remove
# Calls: put PATH MODE UID GID; finish
# Stdin: the script and its calls. `put`: the text of the file
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/paths.sh
# needs: lib/applied.sh

# shellcheck disable=SC2034,SC2154 # host/commands/apply_configuration.sh reads uid and gid; the others are defined in host/lib/paths.sh
action=$1
paths='' # in the order in which they are put in place, one per line
placing=no
narrowed='' # the file that was put in place before the others
uid=''      # of the user who reads the files
gid=''

# Suffixes of files beside a file, so that a rename swaps them; unique, so that no other file is lost.
new=.sentient-mqtt-new
old=.sentient-mqtt-old

discard() {
  printf '%s' "$paths" | while IFS= read -r path; do
    rm -f -- "$path$new" "$path$old"
  done
}

tidy() { # removes empty folders of this program; other scripts override it
  [ "$action" = remove ] || return 0
  printf '%s' "$paths" | while IFS= read -r path; do
    case $path in
      /etc/sentient-mqtt/*) rmdir -p -- "${path%/*}" 2>/dev/null || : ;;
    esac
  done
}

end() {
  status=$?
  # A rename failed, or a signal arrived, between the first and the last rename.
  [ "$placing" = no ] || put_back
  tidy
  discard
  exit "$status"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

put() { # PATH MODE UID GID; the text on stdin
  paths="$paths$1
"
  if [ "$action" = remove ]; then
    cat >/dev/null
    root_only "$(dirname -- "$1")" || fail "$1: was not removed: $why"
    return 0
  fi
  make_folder "$(dirname -- "$1")"
  [ ! -d "$1" ] || made_before "$1" || fail "$1: is a folder; move it away or choose another path"
  [ -z "$applied_kind" ] || made "$applied_kind" "$1"
  uid=$3
  gid=$4
  # A full disk fails here, before anything is put in place.
  rm -f -- "$1$new"
  (set -C && cat >"$1$new") ||
    fail "$1: can't be written; is the disk full? The file in place is untouched"
  chown -- "$3:$4" "$1$new"
  chmod -- "$2" "$1$new"
}

# Calls a function with every path. In a pipe into `while`, `exit` would only leave the loop.
each_path() { # FUNCTION
  while IFS= read -r path; do
    [ -z "$path" ] || "$1" "$path"
  done <<EOT
$paths
EOT
}

keep_previous() {
  rm -f -- "$1$old"
  # A link is copied as a link: its target may be any file. A fifo would never end.
  { [ ! -f "$1" ] && [ ! -L "$1" ]; } || cp -Pp -- "$1" "$1$old" ||
    fail "$1: can't be copied aside; is the disk full? Nothing was changed"
}

swap() {
  # mv would move the file into the folder.
  [ ! -d "$1" ] || move_away "$1"
  mv -f -- "$1$new" "$1"
}

restore() { # PATH: restores the previous file, if the new one was put in place
  [ ! -e "$1$new" ] || [ "$1" = "$narrowed" ] || return 0
  if [ -e "$1$old" ] || [ -L "$1$old" ]; then mv -f -- "$1$old" "$1"; else rm -f -- "$1"; fi
}

delete() { rm -f -- "$1"; }

validate() { :; } # before anything is put in place
narrow() { :; }   # before the first file is put in place
settle() { :; }   # after all files are in place
unsettle() { :; } # before the files are removed

put_back() { each_path restore; }

finish() {
  if [ "$action" = remove ]; then
    unsettle
    each_path delete
    return 0
  fi
  validate
  # Synced before they are renamed: after a power cut no file in place may be empty.
  sync
  each_path keep_previous
  placing=yes
  narrow
  each_path swap
  placing=no
  settle
}
