#!/bin/sh
# Print the lines of the broker's log about connections, including its rotated files, oldest first.
#
# Changes nothing. The reader is broker/logs/log_parser.py. The broker's user wrote the log, so a process
# with the rights of that user reads it.
#
# Arguments: $1: look
# Calls: sightings PATH MINUTES BYTES SOCKET IMAGE; finish. MINUTES: only files written to since; BYTES:
#   of the end of each file; 0: no limit
# Stdin: the script and its calls
# Prints: the log lines as they are, a line `cut` before those of a file whose beginning was not read, and at
#   the end the line `end`
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: lib/paths.sh

# shellcheck disable=SC2016,SC2034,SC2154 # another shell expands this script; the others are defined in host/lib/paths.sh
patterns='New connection from |New client connected |Client |Denied PUBLISH |mosquitto version '

# Reads the last BYTES of every file written to in the last MINUTES; 0: no limit.
sightings() { # PATH MINUTES BYTES SOCKET IMAGE
  root_only "$(dirname -- "${1%/*}")" || fail "${1%/*}: $why"
  [ -d "${1%/*}" ] && [ ! -L "${1%/*}" ] || fail "${1%/*}: the folder does not exist; was the broker ever started?"
  # Sorted by the time of the last write: another logrotate file may name rotated files by date.
  owner_user=$(stat -c %u:%g -- "$1" 2>/dev/null) || owner_user=''
  as_owner "$4" "$5" "${1%/*}" ro 50 '
export LC_ALL=C
recent=""
[ "$2" -eq 0 ] || recent="-mmin -$2"
find . -maxdepth 1 -type f $recent \
  \( -name "$1" -o -name "$1.[0-9]*" -o -name "$1-[0-9]*" \) -exec stat -c "%Y %n" -- {} + |
  sort -n | cut -d " " -f 2- | while IFS= read -r file; do
    [ "$3" -eq 0 ] || [ "$(stat -c %s -- "$file")" -le "$3" ] || echo cut
    case $file in
      *.gz) gzip -dc -- "$file" ;;
      *) if [ "$3" -eq 0 ]; then cat -- "$file"; else tail -c "$3" -- "$file"; fi ;;
    esac | grep -aE "^[0-9T:-]+: ($4)" || :
  done' "${1##*/}" "$2" "$3" "$patterns" </dev/null ||
    fail "${1%/*}: its files could not be read within 50 seconds"
}

finish() { echo end; }
