#!/bin/sh
# After `apply`: every folder is there, with its owner and mode. After `remove`: those that are
# "ours" are gone where they were empty; those that are "kept" are as they were.
# needs: paths.sh
set -eu

action=$1
removed=''

folder() { # ours|kept PATH MODE UID GID
  if [ "$action" = remove ]; then
    [ "$1" = kept ] || removed="$2
$removed"
    return 0
  fi
  if [ -L "$2" ] || { [ -e "$2" ] && [ ! -d "$2" ]; }; then
    echo "$2: is there already and is not a folder; move it away or choose another path" >&2
    exit 1
  fi
  mkdir -p -- "$2"
  # Only the folder itself: what is in it was written by a broker, under its own owner.
  chown -- "$4:$5" "$2"
  chmod -- "$3" "$2"
}

finish() {
  # Innermost first. A folder in which somebody else left a file stays.
  printf '%s' "$removed" | while IFS= read -r path; do
    rmdir -- "$path" 2>/dev/null || :
  done
}
