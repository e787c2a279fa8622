#!/bin/sh
# With host/lib/database.sh and host/lib/archive.sh before it. After `apply`: one more archive that was seen
# to hold what the broker held, and older ones gone as far as that allows. Else nothing has changed.
# Installed on the host this runs by itself: it needs nothing but what a call says.
# needs: lib/archive.sh

# shellcheck disable=SC2016,SC2154 # other shells expand those scripts; the scripts before it have the others
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
    find config data -type f | LC_ALL=C sort | while IFS= read -r each; do
      echo "file $(sha256sum <"$each" | cut -d ' ' -f 1) $(stat -c %s -- "$each") $each"
    done
  )
}

finish() {
  [ "$action" = apply ] || return 0
  trap leave EXIT
  in_place
  only_one
  [ -z "$recipient" ] || command -v age >/dev/null ||
    fail "broker.backups.recipient: age is not on the host: apt-get install age. No backup was made"
  full="can't be written; is the disk full? No backup was made, and none was removed"
  if [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; then
    write_database || fail "container $container: its database could not be written (is the disk \
full?). No backup was made"
  fi
  mkdir -p -- "$stage/data"
  read_database mosquitto.db "$stage/data/mosquitto.db" || fail "$stage: $full"
  root_only "$config" || fail "$config: $why. No backup was made; bring the stack up: ./brokerctl up --stack $stack"
  cp -pPR -- "$config" "$stage/config" || fail "$stage: $full"
  # Links are nobody's of ours, and neither are the halves of a change that was killed.
  find "$stage/config" '(' ! -type f ! -type d -o -name '*.sentient-mqtt-*' ')' -exec rm -f -- {} +
  found=$(count_stage "$image") ||
    fail "container $container: its own image can't read its database. No backup was made"
  written=$(date -u +%Y%m%dT%H%M%SZ)
  # shellcheck disable=SC2086 # three numbers
  manifest "$written" $found >"$stage/manifest" || fail "$stage: $full"
  partial=$backups/.partial-$written.tar.gz
  tar -C "$stage" -czf "$partial" manifest config data 2>/dev/null || fail "$backups: $full"
  # What is on the disk is opened as a stranger's would be; what it was made from is gone then.
  open_archive "$partial"
  packed=$partial
  archive=$backups/$name-$written.tar.gz
  if [ -n "$recipient" ]; then
    age --encrypt --recipient "$recipient" -o "$partial.age" "$partial" 2>/dev/null ||
      fail "$backups: $full; or age does not take broker.backups.recipient: $recipient"
    packed=$partial.age
    archive=$archive.age
  fi
  [ ! -e "$archive" ] || fail "$archive: is there already; wait for a second"
  # On disk before it has a name: after a power cut no name stands for half an archive.
  sync
  mv -- "$packed" "$archive" || fail "$backups: $full"
  line="$(date -u +%s) ${archive##*/} $found $(said logins)"
  echo "$line" >"$(note verified)"
  # The last one that holds retained messages: none after it has taken its place yet.
  [ "${found%% *}" -eq 0 ] || echo "$line" >"$(note filled)"
  filled=$(cut -d ' ' -f 2 -- "$(note filled)" 2>/dev/null) || filled=''
  echo "archive $archive"
  echo "bytes $(stat -c %s -- "$archive")"
  sed -n '/^\(mosquitto\|retained\|sessions\|queued\|logins\) /p' "$stage/manifest"
  surplus=$(($(archives | wc -l) - keep))
  [ "$surplus" -le 0 ] || archives | grep -vxF -e "$archive" -e "$backups/$filled" |
    head -n "$surplus" | while IFS= read -r each; do
    rm -f -- "$each"
    echo "pruned $each"
  done
}
