#!/bin/sh
# Make an archive of a broker, read it back, and delete surplus archives. If that fails, nothing has changed.
#
# The host's timer runs an installed copy of this script, which needs nothing but its calls.
#
# Arguments: $1: apply | remove (remove does nothing)
# Calls: database CONTAINER SOCKET IMAGE FOLDER (host/lib/database.sh);
#   backups FOLDER CONFIG STACK KEEP RECIPIENT (host/lib/archive.sh); password_file NAME; finish.
#   KEEP: number of archives; RECIPIENT: an age recipient, or empty
# Stdin: the script and its calls
# Prints: `archive PATH`, `bytes NUMBER`, then of the manifest `mosquitto VERSION`, `retained NUMBER`,
#   `sessions NUMBER`, `queued NUMBER`, `logins NUMBER`, and `pruned PATH` per deleted archive
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/archive.sh

# shellcheck disable=SC2016,SC2154 # other shells expand these scripts; the others are defined in the scripts before it
partial=''
passwords=''

password_file() { # NAME
  passwords=$1
}

leave() {
  ended=$?
  (clear_stage) || :
  [ -z "$partial" ] || rm -f -- "$partial" "$partial.age"
  tidy "$ended"
}

manifest() { # WRITTEN, and the counts
  echo 'format 1'
  echo "stack $stack"
  echo "container $container"
  echo "image $(state '{{.Config.Image}}')"
  echo "image-id $image"
  echo "mosquitto $(daemon run --rm --network none --entrypoint /usr/sbin/mosquitto "$image" -h |
    sed -n 's/^mosquitto version //p')"
  echo "written $1"
  echo "retained $2"
  echo "sessions $3"
  echo "queued $4"
  echo "logins $(logins_in "$stage/config/$passwords")"
  (
    cd -- "$stage" || exit
    find config data -type f | LC_ALL=C sort | while IFS= read -r path; do
      echo "file $(sha256sum <"$path" | cut -d ' ' -f 1) $(stat -c %s -- "$path") $path"
    done
  )
}

finish() {
  [ "$action" = apply ] || return 0
  trap leave EXIT
  in_place
  only_one
  [ -z "$recipient" ] || command -v age >/dev/null ||
    fail "broker.backups.recipient: age is not installed on the host: apt-get install age. No backup was made"
  full="can't be written; is the disk full? No backup was made, and none was removed"
  if [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; then
    write_database || fail "container $container: its database could not be written (is the disk \
full?). No backup was made"
  fi
  mkdir -p -- "$stage/data"
  read_database mosquitto.db "$stage/data/mosquitto.db" || fail "$stage: $full"
  root_only "$config" || fail "$config: $why. No backup was made; bring the stack up: ./brokerctl up --stack $stack"
  cp -pPR -- "$config" "$stage/config" || fail "$stage: $full"
  # This program creates no links there; the other files are of a change that was killed.
  find "$stage/config" '(' ! -type f ! -type d -o -name '*.sentient-mqtt-*' ')' -exec rm -f -- {} +
  found=$(count_stage "$image") ||
    fail "container $container: its own image can't read its database. No backup was made"
  written=$(date -u +%Y%m%dT%H%M%SZ)
  # shellcheck disable=SC2086 # three numbers
  manifest "$written" $found >"$stage/manifest" || fail "$stage: $full"
  partial=$backups/.partial-$written.tar.gz
  tar -C "$stage" -czf "$partial" manifest config data 2>/dev/null || fail "$backups: $full"
  # Reads back the file on the disk; this deletes the stage that it was made from.
  open_archive "$partial"
  packed=$partial
  archive=$backups/$name-$written.tar.gz
  if [ -n "$recipient" ]; then
    age --encrypt --recipient "$recipient" -o "$partial.age" "$partial" 2>/dev/null ||
      fail "$backups: $full; or age does not take broker.backups.recipient: $recipient"
    packed=$partial.age
    archive=$archive.age
  fi
  [ ! -e "$archive" ] || fail "$archive: exists already; try again in a second"
  # Synced before it is renamed: after a power cut no archive is incomplete.
  sync
  mv -- "$packed" "$archive" || fail "$backups: $full"
  line="$(date -u +%s) ${archive##*/} $found $(manifest_value logins)"
  echo "$line" >"$(note verified)"
  # The last archive with retained messages is not deleted until a newer one has some.
  [ "${found%% *}" -eq 0 ] || echo "$line" >"$(note filled)"
  filled=$(cut -d ' ' -f 2 -- "$(note filled)" 2>/dev/null) || filled=''
  echo "archive $archive"
  echo "bytes $(stat -c %s -- "$archive")"
  sed -n '/^\(mosquitto\|retained\|sessions\|queued\|logins\) /p' "$stage/manifest"
  surplus=$(($(archives | wc -l) - keep))
  [ "$surplus" -le 0 ] || archives | grep -vxF -e "$archive" -e "$backups/$filled" |
    head -n "$surplus" | while IFS= read -r path; do
    rm -f -- "$path"
    echo "pruned $path"
  done
}
