#!/bin/sh
# The broker's database: written when it is asked for, linked aside, counted by Mosquitto itself,
# brought back.
# For host/guard.sh, host/ready.sh and host/archive.sh, which go on from here.
# needs: paths.sh
# shellcheck disable=SC2034 # they read what is set here
set -eu

action=$1
container=''
socket=''
image=''
folder='' # of the data
aside=''
trial=''
rehearsal='' # the container that reads a copy

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
  trial=$folder/.rehearsal
  rehearsal=$container-rehearsal
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
  [ -z "$trial" ] || [ ! -d "$trial" ] || {
    daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
    rm -rf -- "$trial"
  }
  exit "$status"
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

inode() { stat -c %i -- "$folder/mosquitto.db" 2>/dev/null || echo none; }

# Mosquitto writes beside the file and renames: another inode is a database written, and a link to
# the one before it stays what it was, at no cost. On a full disk 2.0 renames, too: what it could
# not write is missing, and a small database is empty. Then the one before comes back.
write_database() {
  previous=$folder/.before-write
  [ ! -e "$previous" ] || whole || put_back # killed in between
  rm -f -- "$previous"
  [ ! -e "$folder/mosquitto.db" ] || ln -- "$folder/mosquitto.db" "$previous"
  was=$(inode)
  written=yes
  daemon exec "$container" kill -USR1 1 >/dev/null || written=no
  deadline=$(($(date +%s) + 60))
  while [ "$written" = yes ] && [ "$(inode)" = "$was" ]; do
    [ "$(date +%s)" -lt "$deadline" ] || written=no
    sleep 0.05
  done
  if [ "$written" = yes ] && whole; then
    rm -f -- "$previous"
    return 0
  fi
  [ ! -e "$previous" ] || put_back
  return 1
}

put_back() { # mv refuses what is the same file already
  if [ "$(stat -c %i -- "$previous")" = "$(inode)" ]; then
    rm -f -- "$previous"
  else
    mv -f -- "$previous" "$folder/mosquitto.db"
  fi
}

# It begins as one does, and there was room for its end.
whole() {
  magic=$(dd if="$folder/mosquitto.db" bs=1 skip=3 count=12 2>/dev/null) || return 1
  [ "$magic" = 'mosquitto db' ] || return 1
  [ "$(df -Pk -- "$folder" | awk 'NR == 2 { print $4 }')" -ge 64 ]
}

# Starts a broker of that image on FOLDER, on which nobody else works. It says what it holds each
# second, and what it writes at its end stays there.
rehearse() { # IMAGE FOLDER, more lines of its configuration on stdin
  cat >"$2/rehearsal.conf" <<'EOT'
listener 1883 127.0.0.1
persistence true
persistence_location /mosquitto/data/
max_queued_messages 0
max_packet_size 268435455
sys_interval 1
log_dest stdout
EOT
  cat >>"$2/rehearsal.conf"
  chown -R -- "$(stat -c %u:%g "$folder")" "$2"
  daemon rm --force --volumes "$rehearsal" >/dev/null 2>&1 || :
  daemon run --detach --name "$rehearsal" --network none --read-only --cap-drop ALL \
    --security-opt no-new-privileges:true --user "$(stat -c %u:%g "$folder")" \
    --volume "$2:/mosquitto/data" "$1" /usr/sbin/mosquitto -c /mosquitto/data/rehearsal.conf \
    >/dev/null
}

asked() { # mosquitto_sub's words: of the broker that rehearses
  daemon exec --env XDG_CONFIG_HOME=/mosquitto/data "$rehearsal" mosquitto_sub -h 127.0.0.1 "$@" \
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
  daemon wait "$rehearsal" >/dev/null
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
counts() { # IMAGE FOLDER
  [ -e "$2/mosquitto.db" ] || {
    echo 0 0 0
    return 0
  }
  rehearse "$1" "$2" <<'EOT' || return 1
allow_anonymous true
EOT
  rehearses || return 1
  # From the second round on, the broker's own statistics weigh the same in both counts.
  asked -t "\$SYS/broker/uptime" -C 2 -W 10 >/dev/null || return 1
  stored=$(statistic 'store/messages/count') || return 1
  kept=$(statistic 'retained messages/count') || return 1
  # Not clients/disconnected: 2.1 is silent about a number that is there from the start.
  clients=$(asked -t "\$SYS/broker/clients/total" -t "\$SYS/broker/clients/connected" -C 2 -W 5) ||
    return 1
  # shellcheck disable=SC2086 # two numbers
  sessions=$(difference $clients)
  count=$(count_retained) || return 1
  echo "$count" "$sessions" "$((stored - kept))"
}

difference() { echo "$(($1 - $2))"; }

statistic() { # TOPIC
  asked -t "\$SYS/broker/$1" -C 1 -W 5
}

link_database() { # FOLDER [FROM]: made anew, with the database in it
  rm -rf -- "$1"
  mkdir -p -- "$1"
  [ ! -e "${2:-$folder}/mosquitto.db" ] || ln -- "${2:-$folder}/mosquitto.db" "$1/mosquitto.db"
}

running() { [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; }

started() { # which start of which container; nothing where there is none
  state '{{.Id}} {{.State.StartedAt}}' || :
}

put_aside() { # before a start, with what a broker found in it
  link_database "$aside"
  started >"$aside/started"
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
  [ ! -e "$aside/mosquitto.db" ] || mv -f -- "$aside/mosquitto.db" "$folder/mosquitto.db"
}

# A start whose end host/ready.sh never saw may have emptied the database (2.1): then what was put
# aside before it is the only copy. After `recover` it is in place where nobody is served; where
# somebody is, only_copy is yes, and host/ready.sh brings it back after the next start.
only_copy=no
recover() {
  [ -e "$aside/held" ] && [ -e "$aside/mosquitto.db" ] || return 0
  since=$(started)
  if [ -n "$since" ] && [ "$since" = "$(cat -- "$aside/started" 2>/dev/null)" ]; then
    # Nothing was started, so it is only older.
    rm -rf -- "$aside"
    return 0
  fi
  only_copy=yes
  ! running || write_database ||
    fail "container $container: its database could not be written (is the disk full?)"
  held=$(cat -- "$aside/held")
  link_database "$trial"
  if ! found=$(counts "$image" "$trial"); then
    # Its database is at fault, and not the image, where that reads the copy.
    link_database "$trial" "$aside"
    counts "$image" "$trial" >/dev/null ||
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
