#!/bin/sh
# With host/database.sh, host/archive.sh, host/drill.sh and host/ready.sh before it. After `look`:
# what a restore would do was said, and nothing changed. After `apply`: the broker runs with the
# archive's database, and what was there is kept aside; or it runs with that, as before.
# needs: ready.sh
# needs: drill.sh

# shellcheck disable=SC2154 # the scripts before it have the others
grace=''
another=no
away=no # `ending`: it was told to end, on its own database; `yes`: that one is no longer in place

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

# What was put aside for nothing; an only copy of before stays.
forget() {
  rm -rf -- "$aside" "$kept/mosquitto.db"
  rmdir -- "$kept" 2>/dev/null || echo "$kept: holds what was put aside before" >&2
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
again, which is in $kept, too. It said: $words"
}

start_again() {
  # Whoever was interrupted may have left it ending: a start before its end would be none.
  daemon stop -t "$grace" "$container" >/dev/null || :
  # The one aside is older by the time that it took to end: only where there was no room for its end.
  whole || mv -f -- "$aside/mosquitto.db" "$folder/mosquitto.db" 2>/dev/null || :
  daemon start "$container" >/dev/null || :
  forget
  answers || fail "container $container: was stopped for the restore, and does not answer since"
  fail "container $container: runs again with what it had. Nothing was restored"
}

# However this ends, nobody is left without a broker.
leave() {
  ended=$?
  trap '' HUP INT TERM
  case $away in
    ending) (start_again) || : ;;
    yes) (go_back) || : ;;
  esac
  [ -z "$stage" ] || rm -rf -- "$stage"
  tidy "$ended"
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
  # One that Docker starts again and again runs, too, and writes nothing.
  running=$(state '{{.State.Running}} {{.State.Restarting}}')
  [ "$running" != 'true false' ] || write_database ||
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
  case $running in true*) away=ending ;; esac
  [ "$away" = no ] || daemon stop -t "$grace" "$container" >/dev/null ||
    fail "container $container: does not stop"
  # Its end writes the database once more, or does not where the disk is full.
  ! whole || link_database "$aside"
  keep_aside || {
    [ "$away" != no ] || forget
    fail "$kept: can't be written; is the disk full? Nothing was restored"
  }
  printf '%s\n' "$found" >"$aside/held"
  away=yes
  # Over what is there: at no moment is there no database.
  if [ -e "$stage/data/mosquitto.db" ]; then
    mv -f -- "$stage/data/mosquitto.db" "$folder/mosquitto.db"
  else
    rm -f -- "$folder/mosquitto.db"
  fi
  daemon start "$container" >/dev/null || exit 1
  answers || exit 1
  ! was_emptied || exit 1
  away=no
  rm -rf -- "$aside"
  echo "seconds $(($(date +%s) - begun))"
  echo "kept $kept"
}
