#!/bin/sh
# Save, link, count and restore the database of a broker.
#
# The data folder belongs to the broker's uid, so root opens no path below it: a process of that uid does
# the work there (`in_data`, `in_broker`), and its output is validated before it is used.
#
# Arguments: $1: apply | remove | look
# Calls: database CONTAINER SOCKET IMAGE FOLDER. FOLDER: the data folder
# Stdin: nothing
# Prints: nothing by itself; `counts`: `RETAINED SESSIONS QUEUED`, three numbers
# Exit codes: of `fail`: 1, with one message on stderr; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM
# needs: lib/paths.sh
# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand these scripts; other scripts read what is set here
set -eu

action=$1
container=''
socket=''
image=''
folder=''    # the data folder
aside=''     # the folder in it with the copy put aside, for messages
rehearsal='' # the name of the container that reads a copy
trial=no     # whether this run created .rehearsal
database=no  # whether .rehearsal holds a database

daemon() { docker -H "$socket" "$@" </dev/null; }

state() { # FORMAT
  daemon container inspect --format "$1" "$container" 2>/dev/null
}

database() { # CONTAINER SOCKET IMAGE FOLDER
  container=$1
  socket=$2
  image=$3
  folder=$4
  aside=$folder/.before-start
  rehearsal=$container-rehearsal
}

owner() { stat -c %u:%g -- "$folder"; }

# Functions for the scripts of `in_data` and `in_broker`, which run in the data folder.
vocabulary='
inode() { stat -c %i mosquitto.db 2>/dev/null || echo none; }
# Its header is that of a database, and the disk had room for its end.
whole() {
  [ -f mosquitto.db ] || return 1
  [ "$(dd if=mosquitto.db bs=1 skip=3 count=12 2>/dev/null)" = "mosquitto db" ] || return 1
  [ "$(room)" -ge 64 ]
}
room() { df -Pk . | awk "NR == 2 { print \$4 }"; }
link() { # FOLDER [FROM]: recreated, with a link to the database
  rm -rf -- "$1"
  mkdir -- "$1"
  [ ! -e "${2:-.}/mosquitto.db" ] || ln -- "${2:-.}/mosquitto.db" "$1/mosquitto.db"
}
'

# Runs a script as the owner of the data folder, in a container that mounts nothing else.
in_data() { # ro|rw SECONDS SCRIPT [WORD...]
  into_data "$@" </dev/null
}

into_data() { # as in_data, with a stdin
  data_access=$1
  data_seconds=$2
  data_script=$vocabulary$3
  shift 3
  # As root, Docker would create a missing folder and follow a link.
  root_only "$(dirname -- "$folder")" || {
    echo "$folder: $why" >&2
    return 1
  }
  [ -d "$folder" ] && [ ! -L "$folder" ] || {
    echo "$folder: is not there" >&2
    return 1
  }
  as_owner "$socket" "$image" "$folder" "$data_access" "$data_seconds" "$data_script" "$@"
}

# Runs a script in the container of the running broker: this is faster, and can signal the broker. The broker
# may be compromised, so only the exit code is used, and the time is limited here.
in_broker() { # SECONDS SCRIPT
  timeout "$(($1 + 10))" docker -H "$socket" exec --workdir /mosquitto/data "$container" \
    timeout "$1" sh -euc "umask 077; $vocabulary$2" </dev/null >/dev/null 2>&1
}

# Takes the lock by which a change of files, a restart and a restore wait for one another, so that the copy
# put aside belongs to one of them. The kernel releases it when this shell ends.
alone() {
  exec 9>"/run/sentient-mqtt-$container.lock"
  lock_within 120 9
}

busy() { echo "container $container: its files have been changing for two minutes; try again"; }

tidy() { # [STATUS]: the exit code; that of the shell by default
  status=${1:-$?}
  [ "$trial" = no ] || {
    daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
    in_data rw 60 'rm -rf .rehearsal' || :
  }
  exit "$status"
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Makes the broker save its database, or restores the previous file. Mosquitto writes a new file and renames
# it: another inode means that it is saved, and a link to the previous file keeps its content. On a full
# disk 2.0 renames an incomplete file, and 2.1 exits, which disconnects every client. So the save is only
# requested with room for the present size, an eighth more, and what `whole` requires.
write_database() {
  in_broker 80 '
size=$(($(stat -c %s mosquitto.db 2>/dev/null || echo 0) / 1024 + 1))
[ "$(room)" -ge $((size + size / 8 + 64)) ] || exit 1
previous=.before-write
put_back() { # mv refuses two names of one file
  if [ "$(stat -c %i "$previous")" = "$(inode)" ]; then rm -f "$previous"; else mv -f "$previous" mosquitto.db; fi
}
[ ! -f "$previous" ] || whole || put_back # killed in between
rm -rf "$previous"
[ ! -e mosquitto.db ] || ln mosquitto.db "$previous"
was=$(inode)
written=yes
kill -USR1 1 || written=no
deadline=$(($(date +%s) + 60))
while [ "$written" = yes ] && [ "$(inode)" = "$was" ]; do
  [ "$(date +%s)" -lt "$deadline" ] || written=no
  sleep 0.05
done
if [ "$written" = yes ] && whole; then
  rm -f "$previous"
  exit 0
fi
[ ! -f "$previous" ] || put_back
exit 1'
}

# Starts a broker of IMAGE on FOLDER, which nothing else uses. It publishes its counts every second and saves
# its database there at its stop. Its configuration is in its own memory.
rehearse() { # IMAGE FOLDER BELOW; more lines of its configuration on stdin; BELOW: '' or a subfolder `NAME/`
  conf="listener 1883 127.0.0.1
persistence true
persistence_location /mosquitto/data/$3
max_queued_messages 0
max_packet_size 268435455
sys_interval 1
log_dest stdout
$(cat)"
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
  daemon run --detach --name "$rehearsal" --network none --read-only --cap-drop ALL \
    --security-opt no-new-privileges:true --user "$(owner)" --tmpfs /tmp:mode=1777 \
    --volume "$2:/mosquitto/data" --entrypoint /bin/sh "$1" \
    -c 'printf "%s\n" "$0" >/tmp/rehearsal.conf; exec /usr/sbin/mosquitto -c /tmp/rehearsal.conf' \
    "$conf" >/dev/null
}

login_from=/nonexistent # the folder with the login of the client in the rehearsal
subscribe_rehearsal() { # ARGUMENT... of mosquitto_sub
  daemon exec --env XDG_CONFIG_HOME="$login_from" "$rehearsal" mosquitto_sub -h 127.0.0.1 "$@" \
    2>/dev/null
}

rehearses() { # waits until it answers; returns 1 if it never does
  deadline=$(($(date +%s) + 30))
  until subscribe_rehearsal -t "\$SYS/broker/uptime" -C 1 -W 5 >/dev/null; do
    [ "$(daemon container inspect --format '{{.State.Running}}' "$rehearsal")" = true ] || return 1
    [ "$(date +%s)" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

end_rehearsal() { # the broker saves its database at its stop
  daemon kill --signal TERM "$rehearsal" >/dev/null
  timeout 300 docker -H "$socket" wait "$rehearsal" </dev/null >/dev/null
  daemon rm --force --volumes "$rehearsal" >/dev/null
}

count_retained() {
  # Retained messages arrive in the order of the subscriptions: the version is the last one. Debian's awk
  # waits for a full buffer, so the shell reads the lines.
  subscribe_rehearsal -t '#' -t "\$SYS/broker/version" -F %t -W 300 | {
    count=0
    while IFS= read -r topic; do
      if [ "$topic" = "\$SYS/broker/version" ]; then
        echo "$count"
        # mosquitto_sub ends with its broker.
        end_rehearsal
        exit 0
      fi
      count=$((count + 1))
    done
    exit 1
  }
}

# Prints `RETAINED SESSIONS QUEUED`: retained messages, sessions of disconnected clients, messages queued for them.
counts() { # IMAGE FOLDER BELOW, as `rehearse`
  rehearse "$1" "$2" "$3" <<'EOT' || return 1
allow_anonymous true
EOT
  rehearses || return 1
  away_and_queued=$(statistics) || return 1
  count=$(count_retained) || return 1
  # shellcheck disable=SC2086 # two numbers
  set -- $away_and_queued
  echo "$count" "$1" "$2"
}

# Prints `SESSIONS QUEUED`, from the counts that the broker publishes every second. The counts must be of one
# second: the broker publishes more about itself in between, and a connecting client is counted as
# connected before it is counted in the total. And of a second that began while a client was connected:
# from then on the broker's own statistics count the same in stored and in retained messages.
# clients/disconnected is no alternative: 2.1 does not publish a number that is unchanged from the start.
statistics() {
  for _ in 1 2 3 4 5 6 7 8; do
    statistics=$(daemon exec --env XDG_CONFIG_HOME="$login_from" "$rehearsal" sh -euc '
broker="\$SYS/broker"
began=$(mosquitto_sub -h 127.0.0.1 -t "$broker/uptime" -C 2 -W 10 | tail -n 1)
numbers=$(mosquitto_sub -h 127.0.0.1 -t "$broker/store/messages/count" \
  -t "$broker/retained messages/count" -t "$broker/clients/total" -t "$broker/clients/connected" \
  -t "$broker/uptime" -C 5 -W 5)
echo $numbers $began' 2>/dev/null) || return 1
    # shellcheck disable=SC2086 # four numbers, and twice `SECONDS seconds`
    set -- $statistics
    [ $# -eq 8 ] && numbers "$1" "$2" && numbers "$3" "$4" || return 1
    if [ "$5" = "$7" ] && [ "$3" -ge "$4" ]; then
      echo "$(($3 - $4)) $(($1 - $2))"
      return 0
    fi
  done
  return 1
}

# A database can hold retained messages of any topic, so a count may be no number.
numbers() { # A B
  [ $# -eq 2 ] && [ -n "$1" ] && [ -n "$2" ] || return 1
  case $1$2 in *[!0-9]*) return 1 ;; esac
}

# Links the database of the data folder, or of its subfolder FROM, into .rehearsal.
link_trial() { # [FROM]
  trial=yes
  database=$(in_data rw 60 'link .rehearsal "$1"; [ ! -e .rehearsal/mosquitto.db ] || echo yes' "${1:-.}") ||
    fail "$folder: its database can't be linked aside ($not_its_owners)"
}

count_trial() { # IMAGE: prints the `counts` of the database that `link_trial` linked
  if [ "$database" = yes ]; then counts "$1" "$folder" .rehearsal/; else echo 0 0 0; fi
}

not_its_owners="is the disk full? Does every file in it belong to the owner of the folder?"

running() { [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; }

# Whether the container runs, or runs within 20 seconds because Docker restarts it.
running_again() {
  deadline=$(($(date +%s) + 20))
  while :; do
    case $(state '{{.State.Running}} {{.State.Restarting}}') in
      'true false') return 0 ;;
      'true true') [ "$(date +%s)" -lt "$deadline" ] || return 1 ;;
      *) return 1 ;;
    esac
    sleep 0.2
  done
}

started() { # prints the container's id and the time of its start; nothing without a container
  state '{{.Id}} {{.State.StartedAt}}' || :
}

# Whether the broker has exited since `began`, and not for the first time: it can't start, and holds nothing to
# save.
ends_by_itself() {
  [ "$(state '{{.RestartCount}}')" -gt 1 ] || return 1
  ! running || [ "$(started)" != "$began" ]
}

# Has a running broker write its database.
save_if_running() {
  running || return 0
  began=$(started)
  write_database || ends_by_itself
}

# Links the database aside and for a rehearsal, and records the present start. `hold` adds its counts.
put_aside() {
  trial=yes
  database=$(in_data rw 60 'link .before-start
printf "%s\n" "$1" >.before-start/started
link .rehearsal .before-start
[ ! -e .rehearsal/mosquitto.db ] || echo yes' "$(started)") ||
    fail "$folder: its database can't be linked aside ($not_its_owners)"
}

hold() { # COUNTS of the database put aside; removes the rehearsal's link
  in_data rw 60 'rm -rf .rehearsal .before-start/held.new
printf "%s\n" "$1" >.before-start/held.new
mv -f .before-start/held.new .before-start/held' "$1" ||
    fail "$folder: the counts of its database can't be saved ($not_its_owners)"
  trial=no
}

forget_aside() {
  in_data rw 60 'rm -rf .before-start .rehearsal .incoming' ||
    fail "$aside: can't be removed ($not_its_owners)"
  trial=no
}

# Reads what was put aside: sets `held` to its `counts` or nothing, `since` to the start, and `there` to
# whether there is a database. The broker's uid may have written anything there.
look_aside() {
  held=''
  since=''
  there=no
  [ -d "$folder" ] || return 0
  observed=$(in_data ro 60 'cd .before-start 2>/dev/null || exit 0
[ ! -f mosquitto.db ] || echo there
for name in held started; do
  [ ! -f "$name" ] || echo "$name $(head -c 200 "$name" | head -n 1)"
done') || fail "$aside: can't be read ($not_its_owners)"
  number='[0-9]\{1,15\}'
  held=$(printf '%s\n' "$observed" | sed -n "s/^held \($number $number $number\)\$/\1/p" | head -n 1)
  since=$(printf '%s\n' "$observed" | sed -n 's/^started \([0-9a-f]* [0-9TZ:.-]*\)$/\1/p' | head -n 1)
  case $observed in there*) there=yes ;; esac
}

# Whether a database was lost: none where there were some. A smaller count is normal, because clients clear
# messages in between; queued messages prove nothing, because clients fetch them.
# shellcheck disable=SC2086 # three numbers each
emptied() { # BEFORE AFTER: `counts`
  set -- $1 $2
  if [ "$1" -gt 0 ]; then [ "$4" -eq 0 ]; else [ "$2" -gt 0 ] && [ "$5" -eq 0 ]; fi
}

# shellcheck disable=SC2086 # three numbers each
fewer() { # BEFORE AFTER
  set -- $1 $2
  [ "$4" -lt "$1" ] || [ "$5" -lt "$2" ]
}

bring_back() { # stops the broker first: it saves at its stop, and a restart would empty the database again
  daemon stop "$container" >/dev/null 2>&1 || :
  in_data rw 60 '[ ! -f .before-start/mosquitto.db ] || mv -f .before-start/mosquitto.db mosquitto.db' ||
    fail "$aside/mosquitto.db: can't be brought back ($not_its_owners)"
}

# An incomplete start, which host/commands/await_ready.sh did not verify, may have emptied the database (2.1).
# Then the copy put aside before it is the only one. `recover` restores it if the broker is stopped; if it
# runs, only_copy is yes, and host/commands/await_ready.sh restores it after the next start.
only_copy=no
recover() {
  look_aside
  [ -n "$held" ] && [ "$there" = yes ] || return 0
  now=$(started)
  if [ -n "$now" ] && [ "$now" = "$since" ]; then
    # No start happened since: the copy is only older.
    forget_aside
    return 0
  fi
  only_copy=yes
  save_if_running ||
    fail "container $container: its database could not be written (is the disk full?)"
  link_trial
  if ! found=$(count_trial "$image"); then
    # If the image reads the copy, the database is damaged, and not the image.
    link_trial .before-start
    count_trial "$image" >/dev/null ||
      fail "image $image: reads neither $folder/mosquitto.db nor $aside/mosquitto.db"
    found='0 0 0'
  fi
  if emptied "$held" "$found"; then
    running || {
      bring_back
      only_copy=no
    }
  elif running || ! fewer "$held" "$found"; then
    only_copy=no
  else
    fail "container $container: its database holds $found (retained messages, sessions, queued \
messages), and the copy put aside before an incomplete start holds $held. Choose \
one: mv $aside/mosquitto.db $folder/mosquitto.db, or rm -r $aside; then try again"
  fi
}
