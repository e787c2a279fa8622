#!/bin/sh
# The broker's database: written when it is asked for, linked aside, counted by Mosquitto itself,
# brought back.
# For host/commands/before_start.sh, host/commands/await_ready.sh and host/lib/archive.sh, which go on from here.
#
# The data folder belongs to the broker's uid, so root opens no path below it: a process of that uid
# does what is done there (`in_data`, `in_broker`), and what it says is checked before it is used.
# needs: lib/paths.sh
# shellcheck disable=SC2016,SC2034,SC2154 # other shells expand those scripts; they read what is set here
set -eu

action=$1
container=''
socket=''
image=''
folder=''    # of the data
aside=''     # in it, as messages name it
rehearsal='' # the container that reads a copy
trial=no     # whether .rehearsal is there because of this run
database=no  # whether there is a database in it

daemon() { docker -H "$socket" "$@" </dev/null; }

state() { # FORMAT
  daemon inspect --format "$1" "$container" 2>/dev/null
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

# What the scripts of `in_data` and `in_broker` begin with. They run in the data folder.
vocabulary='
inode() { stat -c %i mosquitto.db 2>/dev/null || echo none; }
# It begins as one does, and there was room for its end.
whole() {
  [ -f mosquitto.db ] || return 1
  [ "$(dd if=mosquitto.db bs=1 skip=3 count=12 2>/dev/null)" = "mosquitto db" ] || return 1
  [ "$(room)" -ge 64 ]
}
room() { df -Pk . | awk "NR == 2 { print \$4 }"; }
link() { # FOLDER [FROM]: made anew, with the database in it
  rm -rf -- "$1"
  mkdir -- "$1"
  [ ! -e "${2:-.}/mosquitto.db" ] || ln -- "${2:-.}/mosquitto.db" "$1/mosquitto.db"
}
'

# As the owner of the data folder, in a container that sees nothing else.
in_data() { # ro|rw SECONDS SCRIPT [WORD...]
  into_data "$@" </dev/null
}

into_data() { # as in_data, with a stdin
  data_access=$1
  data_seconds=$2
  data_script=$vocabulary$3
  shift 3
  # Docker makes a folder that is missing, and follows a link, as root.
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

# In the container of the broker that runs: quicker, and it may signal the broker. What answers may
# be a broker that was taken over, so that only the exit code is of use, and the wait is bounded here.
in_broker() { # SECONDS SCRIPT
  timeout "$(($1 + 10))" docker -H "$socket" exec --workdir /mosquitto/data "$container" \
    timeout "$1" sh -euc "umask 077; $vocabulary$2" </dev/null >/dev/null 2>&1
}

# A change of files, a restart and a restore wait for one another: what is put aside is of one alone.
# The kernel lets go of it when this shell ends, however it ends.
alone() {
  exec 9>"/run/sentient-mqtt-$container.lock"
  flock -w 120 9
}

busy() { echo "container $container: its files have been changing for two minutes; try again"; }

tidy() { # what the shell ends with, where something came before
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

# Mosquitto writes beside the file and renames: another inode is a database written, and a link to
# the one before it stays what it was, at no cost. On a full disk 2.0 renames, too: what it could
# not write is missing, and a small database is empty. Then the one before comes back. 2.1 ends where
# it can't write, which costs every client its connection: so neither is asked without room for as
# much as there is, an eighth more, and what `whole` wants to see left.
write_database() {
  in_broker 80 '
size=$(($(stat -c %s mosquitto.db 2>/dev/null || echo 0) / 1024 + 1))
[ "$(room)" -ge $((size + size / 8 + 64)) ] || exit 1
previous=.before-write
put_back() { # mv refuses what is the same file already
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

# Starts a broker of that image on FOLDER, on which nobody else works. It says what it holds each
# second, and what it writes at its end stays there. Its configuration lies in its own memory.
rehearse() { # IMAGE FOLDER BELOW, more lines of its configuration on stdin; BELOW: '', or `NAME/`
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

login_from=/nonexistent # where the client that asks the rehearsal finds its login
asked() { # mosquitto_sub's words: of the broker that rehearses
  daemon exec --env XDG_CONFIG_HOME="$login_from" "$rehearsal" mosquitto_sub -h 127.0.0.1 "$@" \
    2>/dev/null
}

rehearses() { # once it answers; 1 where it never does
  deadline=$(($(date +%s) + 30))
  until asked -t "\$SYS/broker/uptime" -C 1 -W 5 >/dev/null; do
    [ "$(daemon inspect --format '{{.State.Running}}' "$rehearsal")" = true ] || return 1
    [ "$(date +%s)" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

end_rehearsal() { # its end writes the database
  daemon kill --signal TERM "$rehearsal" >/dev/null
  timeout 300 docker -H "$socket" wait "$rehearsal" </dev/null >/dev/null
  daemon rm --force --volumes "$rehearsal" >/dev/null
}

count_retained() {
  # Retained messages come in the order of the subscriptions: the version is the last of them.
  # Not awk: Debian's waits for a full buffer before it reads a line.
  asked -t '#' -t "\$SYS/broker/version" -F %t -W 300 | {
    count=0
    while IFS= read -r topic; do
      if [ "$topic" = "\$SYS/broker/version" ]; then
        echo "$count"
        # mosquitto_sub would wait on: its broker's end is its own.
        end_rehearsal
        exit 0
      fi
      count=$((count + 1))
    done
    exit 1
  }
}

# Prints retained messages, sessions of clients that are away, and messages that wait for them.
counts() { # IMAGE FOLDER BELOW, as `rehearse`
  rehearse "$1" "$2" "$3" <<'EOT' || return 1
allow_anonymous true
EOT
  rehearses || return 1
  told=$(statistics) || return 1
  count=$(count_retained) || return 1
  # shellcheck disable=SC2086 # two numbers
  set -- $told
  echo "$count" "$1" "$2"
}

# Sessions of clients that are away, and messages that wait, as the broker counts them each second.
# Numbers of two seconds are no count: it publishes more about itself in between, and a client that
# is connecting is one of those that are connected before it is one of all. So all are of the second
# that began while a client was there already: from then on, its own statistics weigh the same in
# `stored` and in `kept`. Not clients/disconnected: 2.1 is silent about a number that is there from
# the start.
statistics() {
  for _ in 1 2 3 4 5 6 7 8; do
    said=$(daemon exec --env XDG_CONFIG_HOME="$login_from" "$rehearsal" sh -euc '
broker="\$SYS/broker"
began=$(mosquitto_sub -h 127.0.0.1 -t "$broker/uptime" -C 2 -W 10 | tail -n 1)
numbers=$(mosquitto_sub -h 127.0.0.1 -t "$broker/store/messages/count" \
  -t "$broker/retained messages/count" -t "$broker/clients/total" -t "$broker/clients/connected" \
  -t "$broker/uptime" -C 5 -W 5)
echo $numbers $began' 2>/dev/null) || return 1
    # shellcheck disable=SC2086 # four numbers, and twice `SECONDS seconds`
    set -- $said
    [ $# -eq 8 ] && numbers "$1" "$2" && numbers "$3" "$4" || return 1
    if [ "$5" = "$7" ] && [ "$3" -ge "$4" ]; then
      echo "$(($3 - $4)) $(($1 - $2))"
      return 0
    fi
  done
  return 1
}

# A database can hold retained messages of any topic: what stands for a number may be none.
numbers() { # two of them
  [ $# -eq 2 ] && [ -n "$1" ] && [ -n "$2" ] || return 1
  case $1$2 in *[!0-9]*) return 1 ;; esac
}

# Links the database into .rehearsal, or that of FROM, which lies in the data folder.
link_trial() { # [FROM]
  trial=yes
  database=$(in_data rw 60 'link .rehearsal "$1"; [ ! -e .rehearsal/mosquitto.db ] || echo yes' "${1:-.}") ||
    fail "$folder: its database can't be linked aside ($not_its_owners)"
}

count_trial() { # IMAGE: as `counts`, of what `link_trial` linked
  if [ "$database" = yes ]; then counts "$1" "$folder" .rehearsal/; else echo 0 0 0; fi
}

not_its_owners="is the disk full? Does all that lies there belong to its owner?"

running() { [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; }

# A broker that ended, and that Docker is about to start again, runs soon.
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

started() { # which start of which container; nothing where there is none
  state '{{.Id}} {{.State.StartedAt}}' || :
}

# Before a start: with `hold`, what a broker found in it. Linked for a rehearsal, too.
put_aside() {
  trial=yes
  database=$(in_data rw 60 'link .before-start
printf "%s\n" "$1" >.before-start/started
link .rehearsal .before-start
[ ! -e .rehearsal/mosquitto.db ] || echo yes' "$(started)") ||
    fail "$folder: its database can't be linked aside ($not_its_owners)"
}

hold() { # COUNTS: of what was put aside; what was rehearsed on is gone then
  in_data rw 60 'rm -rf .rehearsal .before-start/held.new
printf "%s\n" "$1" >.before-start/held.new
mv -f .before-start/held.new .before-start/held' "$1" ||
    fail "$folder: what its database holds can't be noted ($not_its_owners)"
  trial=no
}

forget_aside() {
  in_data rw 60 'rm -rf .before-start .rehearsal .incoming' ||
    fail "$aside: can't be removed ($not_its_owners)"
  trial=no
}

# What was put aside: `held`, as `counts` says it, or nothing; of which start; and whether a database
# is there. The broker's uid may have written anything.
look_aside() {
  held=''
  since=''
  there=no
  [ -d "$folder" ] || return 0
  seen=$(in_data ro 60 'cd .before-start 2>/dev/null || exit 0
[ ! -f mosquitto.db ] || echo there
for name in held started; do
  [ ! -f "$name" ] || echo "$name $(head -c 200 "$name" | head -n 1)"
done') || fail "$aside: can't be read ($not_its_owners)"
  number='[0-9]\{1,15\}'
  held=$(printf '%s\n' "$seen" | sed -n "s/^held \($number $number $number\)\$/\1/p" | head -n 1)
  since=$(printf '%s\n' "$seen" | sed -n 's/^started \([0-9a-f]* [0-9TZ:.-]*\)$/\1/p' | head -n 1)
  case $seen in there*) there=yes ;; esac
}

# What clients cleared while one broker ended and the next began is fewer by some. None where there
# were some is a loss. What waited for clients says nothing: they fetch it.
# shellcheck disable=SC2086 # three numbers each
emptied() { # BEFORE AFTER, as `counts` says them
  set -- $1 $2
  if [ "$1" -gt 0 ]; then [ "$4" -eq 0 ]; else [ "$2" -gt 0 ] && [ "$5" -eq 0 ]; fi
}

# shellcheck disable=SC2086 # three numbers each
fewer() { # BEFORE AFTER
  set -- $1 $2
  [ "$4" -lt "$1" ] || [ "$5" -lt "$2" ]
}

bring_back() { # ended first: its end writes, and what restarts would empty it once more
  daemon stop "$container" >/dev/null 2>&1 || :
  in_data rw 60 '[ ! -f .before-start/mosquitto.db ] || mv -f .before-start/mosquitto.db mosquitto.db' ||
    fail "$aside/mosquitto.db: can't be brought back ($not_its_owners)"
}

# A start whose end host/commands/await_ready.sh never saw may have emptied the database (2.1): then what was put
# aside before it is the only copy. After `recover` it is in place where nobody is served; where
# somebody is, only_copy is yes, and host/commands/await_ready.sh brings it back after the next start.
only_copy=no
recover() {
  look_aside
  [ -n "$held" ] && [ "$there" = yes ] || return 0
  now=$(started)
  if [ -n "$now" ] && [ "$now" = "$since" ]; then
    # Nothing was started, so it is only older.
    forget_aside
    return 0
  fi
  only_copy=yes
  ! running || write_database ||
    fail "container $container: its database could not be written (is the disk full?)"
  link_trial
  if ! found=$(count_trial "$image"); then
    # Its database is at fault, and not the image, where that reads the copy.
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
    fail "container $container: its database holds $found (retained messages, sessions, messages \
that wait), and what was put aside before a start that did not come to its end holds $held. Say \
which of the two: mv $aside/mosquitto.db $folder/mosquitto.db, or rm -r $aside; then again"
  fi
}
