#!/bin/sh
# Prints the lines of the broker's log that tell who came: of its rotated files too, the oldest
# first, and nothing is changed. The reader is broker/logs/log_parser.py.
#
# What is in the log was written by the broker's user, and a process of that user reads it.
# needs: lib/paths.sh

# shellcheck disable=SC2016,SC2034,SC2154 # another shell expands that script; host/lib/paths.sh has the others
telling='New connection from |New client connected |Client |Denied PUBLISH |mosquitto version '

# Of files written to in MINUTES; of each its last BYTES; 0: all.
sightings() { # PATH MINUTES BYTES SOCKET IMAGE
  root_only "$(dirname -- "${1%/*}")" || fail "${1%/*}: $why"
  [ -d "${1%/*}" ] && [ ! -L "${1%/*}" ] || fail "${1%/*}: there is no such folder; was the broker ever up?"
  # By the time of their last line: a name tells nothing where somebody else's logrotate has dates.
  owner_user=$(stat -c %u:%g -- "$1" 2>/dev/null) || owner_user=''
  as_owner "$4" "$5" "${1%/*}" ro 50 '
export LC_ALL=C
recent=""
[ "$2" -eq 0 ] || recent="-mmin -$2"
find . -maxdepth 1 -type f $recent \
  \( -name "$1" -o -name "$1.[0-9]*" -o -name "$1-[0-9]*" \) -exec stat -c "%Y %n" -- {} + |
  sort -n | cut -d " " -f 2- | while IFS= read -r file; do
    case $file in
      *.gz) gzip -dc -- "$file" ;;
      *) if [ "$3" -eq 0 ]; then cat -- "$file"; else tail -c "$3" -- "$file"; fi ;;
    esac | grep -aE "^[0-9T:-]+: ($4)" || :
  done' "${1##*/}" "$2" "$3" "$telling" </dev/null ||
    fail "${1%/*}: its files could not be read within 50 seconds"
}

finish() { echo end; }
