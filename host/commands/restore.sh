#!/bin/sh
# Put the database of an archive in place and start the broker on it, or restore the previous database.
#
# `look` reports what a restore would replace and changes nothing. `apply` keeps the replaced database in
# the backups folder.
#
# Arguments: $1: look | apply
# Calls: those of host/commands/verify_backup.sh; broker ADDRESS PORT SECONDS PROCESSES
#   (host/commands/await_ready.sh); restore SECONDS OTHER; finish. SECONDS: the time to stop;
#   OTHER: yes | no: whether the archive may be of another stack
# Stdin: the script and its calls
# Prints: what host/commands/verify_backup.sh prints, `replaces COUNTS` (or `replaces unreadable`), and after
#   `apply` `seconds NUMBER` (the downtime), `kept FOLDER` and `back COUNTS` (or `back unknown`): what the
#   broker holds after its start
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: commands/await_ready.sh
# needs: commands/verify_backup.sh

# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand these scripts; the others are defined in the scripts before it
grace=''
another=no
stopped=no # `ending`: the broker was told to stop, its database is in place; `yes`: the database is replaced

restore() { # SECONDS yes|no: the time to stop; whether the archive may be of another stack
  grace=$1
  another=$2
}

# Copies a database of the data folder into the backups folder, where a person can restore it.
keep() { # NAME FILE
  read_database "$1" "$2" && { [ ! -e "$2" ] || chown -- "$(owner)" "$2"; }
}

# Removes the copy that was put aside; the only copy of an earlier start stays.
forget() {
  (forget_aside) || :
  rm -f -- "$kept/mosquitto.db"
  rmdir -- "$kept" 2>/dev/null || echo "$kept: holds a database that was put aside earlier" >&2
}

go_back() {
  log_lines=$(daemon logs --tail 5 "$container" 2>&1) || :
  brought=yes
  (bring_back) || brought=no
  # There was no database before.
  [ -e "$kept/mosquitto.db" ] || in_data rw 60 'rm -f mosquitto.db' || :
  daemon start "$container" >/dev/null || :
  [ "$brought" = no ] || (forget_aside) || :
  answers || fail "container $container: came back neither with the archive's database nor with its \
own, which is in $kept. It said: $log_lines"
  fail "container $container: did not come back with the archive's database; it runs with its own \
again, which is in $kept, too. It said: $log_lines"
}

start_again() {
  # An interrupted run may have left it stopping: a start before it has stopped has no effect.
  daemon stop -t "$grace" "$container" >/dev/null || :
  # The copy aside is older: it is used only if the broker had no room to save its database at its stop.
  in_data rw 60 'whole || [ ! -e .before-start/mosquitto.db ] ||
mv -f .before-start/mosquitto.db mosquitto.db' || :
  daemon start "$container" >/dev/null || :
  forget
  answers || fail "container $container: was stopped for the restore and does not answer after its start"
  fail "container $container: runs again with its own database. Nothing was restored"
}

# However the script ends, the broker runs again.
leave() {
  ended=$?
  trap '' HUP INT TERM
  case $stopped in
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
  of="$(manifest_value stack) $(manifest_value container)"
  [ "$another" = yes ] || [ "$of" = "$stack $container" ] ||
    fail "$from: is of stack $(manifest_value stack), container $(manifest_value container), and this is stack $stack, \
container $container. Nothing was changed. If that is intended, add --other"
  same_counts "$image"
  report
  # A container that Docker restarts again and again is running, too, and writes nothing.
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
  mkdir -- "$kept" || fail "$kept: can't be created. Nothing was changed"
  # A copy from before an incomplete start may be the only one.
  look_aside
  [ -z "$held" ] || [ "$there" = no ] || keep .before-start/mosquitto.db "$kept/before-start.db" ||
    fail "$kept: can't be written; is the disk full? Nothing was changed"
  bring_in || {
    rmdir -- "$kept" 2>/dev/null || :
    fail "$folder: can't be written; is the disk full? Nothing was changed"
  }
  # The downtime begins here and ends when the broker answers.
  begun=$(date +%s)
  case $running in true*) stopped=ending ;; esac
  [ "$stopped" = no ] || daemon stop -t "$grace" "$container" >/dev/null ||
    fail "container $container: does not stop"
  # At its stop the broker saves the database once more, unless the disk is full.
  in_data rw 60 '! whole || link .before-start
printf "%s\n" "$1" >.before-start/held.new' "$found" || give_up "$folder"
  keep .before-start/mosquitto.db "$kept/mosquitto.db" || give_up "$kept"
  stopped=yes
  exchange || exit 1
  daemon start "$container" >/dev/null || exit 1
  answers || exit 1
  downtime=$(($(date +%s) - begun))
  held=$found
  after=''
  ! was_emptied || exit 1
  stopped=no
  forget_aside
  echo "seconds $downtime"
  echo "kept $kept"
  # What the running broker writes, without a comparison before if the archive was empty.
  [ -n "$after" ] || { write_database && link_trial && after=$(count_trial "$image"); } || after=unknown
  echo "back $after"
}

# Copies the archive's database, if it has one, beside the one in place, and links the latter aside.
bring_in() {
  if [ ! -e "$stage/data/mosquitto.db" ]; then
    in_data rw 60 'rm -rf .incoming .rehearsal; link .before-start' || return 1
  else
    size=$(stat -c %s -- "$stage/data/mosquitto.db")
    into_data rw 900 'rm -rf .incoming .rehearsal
[ "$(room)" -ge $(($1 / 1024 + $1 / 8192 + 64)) ] || exit 1
cat >.incoming && [ "$(stat -c %s .incoming)" -eq "$1" ] || { rm -f .incoming; exit 1; }
sync
link .before-start' "$size" <"$stage/data/mosquitto.db" || return 1
  fi
  trial=no
}

# Renames over the database in place: at every moment there is one.
exchange() {
  in_data rw 60 'mv -f .before-start/held.new .before-start/held
if [ -e .incoming ]; then mv -f .incoming mosquitto.db; else rm -f mosquitto.db; fi'
}

give_up() { # FOLDER: `leave` starts the stopped broker
  [ "$stopped" != no ] || forget
  fail "$1: can't be written; is the disk full? Nothing was restored"
}
