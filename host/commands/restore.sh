#!/bin/sh
# With host/lib/database.sh, host/lib/archive.sh, host/commands/verify_backup.sh and host/commands/await_ready.sh before it. After `look`:
# what a restore would do was said, and nothing changed. After `apply`: the broker runs with the
# archive's database, and what was there is kept aside; or it runs with that, as before.
# needs: commands/await_ready.sh
# needs: commands/verify_backup.sh

# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand those scripts; the scripts before it have the others
grace=''
another=no
away=no # `ending`: it was told to end, on its own database; `yes`: that one is no longer in place

restore() { # SECONDS yes|no: what the broker may take to end; whether another stack's may come in
  grace=$1
  another=$2
}

# A database of the data folder, as the file of the archive's folder that a person may put back.
keep() { # NAME FILE
  read_database "$1" "$2" && { [ ! -e "$2" ] || chown -- "$(owner)" "$2"; }
}

# What was put aside for nothing; an only copy of before stays.
forget() {
  (forget_aside) || :
  rm -f -- "$kept/mosquitto.db"
  rmdir -- "$kept" 2>/dev/null || echo "$kept: holds what was put aside before" >&2
}

go_back() {
  words=$(daemon logs --tail 5 "$container" 2>&1) || :
  brought=yes
  (bring_back) || brought=no
  # There was none before.
  [ -e "$kept/mosquitto.db" ] || in_data rw 60 'rm -f mosquitto.db' || :
  daemon start "$container" >/dev/null || :
  [ "$brought" = no ] || (forget_aside) || :
  answers || fail "container $container: came back neither with the archive's database nor with its \
own, which is in $kept. It said: $words"
  fail "container $container: did not come back with the archive's database; it runs with its own \
again, which is in $kept, too. It said: $words"
}

start_again() {
  # Whoever was interrupted may have left it ending: a start before its end would be none.
  daemon stop -t "$grace" "$container" >/dev/null || :
  # The one aside is older by the time that it took to end: only where there was no room for its end.
  in_data rw 60 'whole || [ ! -e .before-start/mosquitto.db ] ||
mv -f .before-start/mosquitto.db mosquitto.db' || :
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
  (clear_stage) || :
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
container $container. Nothing was changed. If that is meant, say --other"
  same_counts "$image"
  report
  # One that Docker starts again and again runs, too, and writes nothing.
  running=$(state '{{.State.Running}} {{.State.Restarting}}')
  began=$(started)
  [ "$running" != 'true false' ] || write_database || ends_by_itself ||
    fail "container $container: its database could not be written (is the \
disk full?). Nothing was changed"
  link_trial
  replaced=$(count_trial "$image") || replaced='unreadable'
  echo "replaces $replaced"
  [ "$action" = apply ] || return 0
  kept=$backups/before-restore-$(date -u +%Y%m%dT%H%M%SZ)
  mkdir -- "$kept" || fail "$kept: can't be made. Nothing was changed"
  # Put aside before a start that did not come to its end: there may be no other copy.
  look_aside
  [ -z "$held" ] || [ "$there" = no ] || keep .before-start/mosquitto.db "$kept/before-start.db" ||
    fail "$kept: can't be written; is the disk full? Nothing was changed"
  bring_in || {
    rmdir -- "$kept" 2>/dev/null || :
    fail "$folder: can't be written; is the disk full? Nothing was changed"
  }
  # From here until it answers again nobody is served.
  begun=$(date +%s)
  case $running in true*) away=ending ;; esac
  [ "$away" = no ] || daemon stop -t "$grace" "$container" >/dev/null ||
    fail "container $container: does not stop"
  # Its end writes the database once more, or does not where the disk is full.
  in_data rw 60 '! whole || link .before-start
printf "%s\n" "$1" >.before-start/held.new' "$found" || give_up "$folder"
  keep .before-start/mosquitto.db "$kept/mosquitto.db" || give_up "$kept"
  away=yes
  exchange || exit 1
  daemon start "$container" >/dev/null || exit 1
  answers || exit 1
  seconds_away=$(($(date +%s) - begun))
  held=$found
  ! was_emptied || exit 1
  away=no
  forget_aside
  echo "seconds $seconds_away"
  echo "kept $kept"
}

# One that ended while it was asked to write, and not for the first time, has a database that it
# can't start on.
ends_by_itself() {
  [ "$(state '{{.RestartCount}}')" -gt 1 ] || return 1
  ! running || [ "$(started)" != "$began" ]
}

# The archive's database waits beside the one in place, which is linked aside. Without one in the
# archive nothing waits.
bring_in() {
  if [ ! -e "$stage/data/mosquitto.db" ]; then
    in_data rw 60 'rm -rf .incoming .rehearsal; link .before-start' || return 1
  else
    size=$(stat -c %s -- "$stage/data/mosquitto.db")
    into_data rw 900 'rm -rf .incoming .rehearsal
cat >.incoming && [ "$(stat -c %s .incoming)" -eq "$1" ] || { rm -f .incoming; exit 1; }
sync
link .before-start' "$size" <"$stage/data/mosquitto.db" || return 1
  fi
  trial=no
}

# Over what is there: at no moment is there no database.
exchange() {
  in_data rw 60 'mv -f .before-start/held.new .before-start/held
if [ -e .incoming ]; then mv -f .incoming mosquitto.db; else rm -f mosquitto.db; fi'
}

give_up() { # FOLDER: `leave` starts what was stopped
  [ "$away" != no ] || forget
  fail "$1: can't be written; is the disk full? Nothing was restored"
}
