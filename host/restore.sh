#!/bin/sh
# With host/database.sh, host/archive.sh, host/drill.sh and host/ready.sh before it. After `look`:
# what a restore would do was said, and nothing changed. After `apply`: the broker runs with the
# archive's database, and what was there is kept aside; or it runs with that, as before.

# shellcheck disable=SC2154 # the scripts before it have the others
grace=''
another=no

restore() { # SECONDS yes|no: what the broker may take to end; whether another stack's may come in
  grace=$1
  another=$2
}

# Mosquitto renames over its database: a link keeps what it was.
keep_aside() {
  [ -e "$aside/mosquitto.db" ] || return 0
  ln -- "$aside/mosquitto.db" "$kept/mosquitto.db" 2>/dev/null ||
    cp -p -- "$aside/mosquitto.db" "$kept/mosquitto.db"
}

go_back() {
  words=$(daemon logs --tail 5 "$container" 2>&1) || :
  bring_back
  [ -e "$aside/mosquitto.db" ] || [ -e "$kept/mosquitto.db" ] || rm -f -- "$folder/mosquitto.db"
  daemon start "$container" >/dev/null || :
  rm -rf -- "$aside"
  answers || fail "container $container: came back neither with the archive's database nor with its \
own, which is in $kept. It said: $words"
  fail "container $container: did not come back with the archive's database; it runs with its own \
again. It said: $words"
}

finish() {
  trap leave EXIT
  in_place
  only_one
  choose
  open_archive "$from"
  of="$(said stack) $(said container)"
  [ "$another" = yes ] || [ "$of" = "$stack $container" ] ||
    fail "$from: is of stack $(said stack), container $(said container), and this is stack $stack, \
container $container. Nothing was changed. If that is meant, say OTHER=1"
  same_counts "$image"
  report
  running=$(state '{{.State.Running}}')
  [ "$running" = false ] || write_database ||
    fail "container $container: its database could not be written (is the \
disk full?). Nothing was changed"
  rm -rf -- "$trial"
  link_database "$trial"
  replaced=$(counts "$image" "$trial") || replaced='unreadable'
  echo "replaces $replaced"
  [ "$action" = apply ] || return 0
  kept=$backups/before-restore-$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -- "$kept" || fail "$kept: can't be made. Nothing was changed"
  [ ! -e "$stage/data/mosquitto.db" ] || {
    chown -- "$(stat -c %u:%g "$folder")" "$stage/data/mosquitto.db"
    chmod 0600 -- "$stage/data/mosquitto.db"
  }
  sync
  # Put aside before a start that did not come to its end: there may be no other copy.
  [ ! -e "$aside/held" ] || [ ! -e "$aside/mosquitto.db" ] ||
    cp -p -- "$aside/mosquitto.db" "$kept/before-start.db" ||
    fail "$kept: can't be written; is the disk full? Nothing was changed"
  link_database "$aside"
  # From here until it answers again nobody is served.
  begun=$(date +%s)
  [ "$running" = false ] || daemon stop -t "$grace" "$container" >/dev/null ||
    fail "container $container: does not stop. Nothing was changed"
  # Its end writes the database once more, or does not where the disk is full.
  ! whole || link_database "$aside"
  keep_aside || {
    daemon start "$container" >/dev/null
    rm -rf -- "$aside" "$kept/mosquitto.db"
    rmdir -- "$kept" 2>/dev/null || :
    fail "$kept: can't be written; is the disk full? The broker runs with what it had"
  }
  echo "$(said retained) $(said sessions) $(said queued)" >"$aside/held"
  rm -f -- "$folder/mosquitto.db"
  [ ! -e "$stage/data/mosquitto.db" ] || mv -f -- "$stage/data/mosquitto.db" "$folder/mosquitto.db"
  if ! daemon start "$container" >/dev/null || ! answers || was_emptied; then
    go_back
  fi
  rm -rf -- "$aside"
  echo "seconds $(($(date +%s) - begun))"
  echo "kept $kept"
}
