#!/bin/sh
# Prints the lines of the broker's log that tell who came: of its rotated files too, the oldest
# first, and nothing is changed. The reader is broker/sightings.py.
# needs: paths.sh
set -eu

telling='New connection from |New client connected |Client |Denied PUBLISH |mosquitto version '

sightings() { # PATH MINUTES BYTES: of files written to since; of each its last bytes; 0: all
  [ -d "${1%/*}" ] || {
    echo "${1%/*}: there is no such folder; was the broker ever up?" >&2
    exit 1
  }
  recent=''
  [ "$2" -eq 0 ] || recent="-mmin -$2"
  # By the time of their last line: a name tells nothing where somebody else's logrotate has dates.
  # shellcheck disable=SC2086 # two words, or none
  find "${1%/*}" -maxdepth 1 -type f $recent \
    \( -name "${1##*/}" -o -name "${1##*/}.[0-9]*" -o -name "${1##*/}-[0-9]*" \) \
    -exec stat -c '%Y %n' -- {} + | sort -n | cut -d ' ' -f 2- | while IFS= read -r file; do
    case $file in
      *.gz) gzip -dc -- "$file" ;;
      *) if [ "$3" -eq 0 ]; then cat -- "$file"; else tail -c "$3" -- "$file"; fi ;;
    esac |
      LC_ALL=C grep -aE "^[0-9T:-]+: ($telling)" || :
  done
}

finish() { echo end; }
