#!/bin/sh
# With host/files.sh before it. After `apply`: the broker that runs obeys the new files, and nobody
# whom they don't concern was disconnected; or the old ones are in place and it obeys those.
#
# Killed at any instant, it leaves whole files and a broker that runs. The next `apply` completes
# it, because it asks the broker and not the files whether a reload is due.
# needs: files.sh

# shellcheck disable=SC2034,SC2154 # action, new, old, narrowed: host/files.sh has them

container=''
socket=''
port=''
folder=''
conf=''
passwords=''
patience=60
image=''
different=''
between=.sentient-mqtt-between
alive='{{.State.Running}} {{.State.Restarting}} {{.State.StartedAt}}'

lock() { # PATH: one at a time; the kernel lets go of it when this shell ends, however it ends
  if [ "$action" = remove ]; then
    rm -f -- "$1"
    return 0
  fi
  exec 9>"$1"
  flock -w 120 9 || fail "$1: another run has held this lock for two minutes; wait for its end"
}

# The broker that reads the files. It answers nobody while a reload hashes each connected client's
# password anew; SECONDS is for how long that may be.
broker() { # CONTAINER SOCKET PORT FOLDER CONF [PASSWORDS SECONDS]
  container=$1
  socket=$2
  port=$3
  folder=$4
  conf=$5
  [ -z "${6-}" ] || passwords=$folder/$6
  patience=${7:-$patience}
}

image() { # NAME: the one that is to run the files
  [ "$action" = apply ] || return 0
  image=$(daemon image inspect --format '{{.Id}}' "$1") || fail "image $1: is not on this host"
}

daemon() { docker -H "$socket" "$@" </dev/null; }

state() { # CONTAINER FORMAT
  daemon inspect --format "$2" "$1" 2>/dev/null
}

# Whether a broker runs that reads these files, and not others: a container whose folder is about
# to change is replaced afterwards.
runs() {
  [ "$(state "$container" '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ] || return 1
  state "$container" '{{range .Mounts}}{{.Source}}{{println}}{{end}}' | grep -qxF -- "$folder"
}

# The port that a container answers on; the one in the new files is for the next container.
port_of() { # CONTAINER
  answers=$(state "$1" '{{index .Config.Labels "sentient-mqtt.port"}}') || answers=''
  printf '%s' "${answers:-$port}"
}

# A candidate has no network and answers on its loopback; one from before the label did, too.
address_of() { # CONTAINER
  [ "$1" = "$container" ] || {
    echo 127.0.0.1
    return 0
  }
  where=$(state "$1" '{{index .Config.Labels "sentient-mqtt.address"}}') || where=''
  printf '%s' "${where:-127.0.0.1}"
}

# A user whose password is new with each change of the files, and who may do nothing: the broker
# has read the files when it lets that user in, and keeps to them when it refuses the publish. 2.0
# with a bad ACL file drops every rule; then the publish passes.
obeys() { # CONTAINER; 2: it lets everybody do everything
  passed=yes
  port_there=$(port_of "$1")
  address_there=$(address_of "$1")
  answer=$(daemon exec --env XDG_CONFIG_HOME=/mosquitto/config/canary "$1" timeout 5 mosquitto_pub \
    -h "$address_there" -p "$port_there" -V 5 -q 1 -t sentient-mqtt/denied -m x -I canary- 2>&1) || passed=no
  case $answer in
    *'Publish '*' failed: Not authori'*) ;;
    *) [ "$passed" = no ] && return 1 || return 2 ;;
  esac
  daemon exec "$1" mosquitto_sub -h "$address_there" -p "$port_there" -t "\$SYS/broker/uptime" -C 1 -W 3 \
    -I health- >/dev/null 2>&1 || return 1
  status=0
  daemon exec --env XDG_CONFIG_HOME=/nonexistent "$1" mosquitto_sub -h "$address_there" -p "$port_there" \
    -t "\$SYS/broker/uptime" -C 1 -W 2 -I anonymous- >/dev/null 2>&1 || status=$?
  # CONNACK's "not authorised". A time-out is none, and no more is a question that nobody heard.
  [ "$status" -eq 5 ] || return 1
}

# The new files it obeys, or has ended, or lets everybody do everything: each moment more is one too
# many. After the previous ones came back a signal is on its way, and a restart (2.1).
obeys_soon() { # CONTAINER [again]
  begun=$(date +%s)
  since=$(state "$1" "$alive")
  while :; do
    answered=0
    obeys "$1" || answered=$?
    most=$patience
    [ "$answered" -ne 2 ] || { [ "${2-}" = again ] && most=5 || most=0; }
    [ "$answered" -ne 0 ] || return 0
    [ $(($(date +%s) - begun)) -lt "$most" ] || return 1
    # Docker starts again what has ended, and it runs until it ends again.
    now=$(state "$1" "$alive")
    [ "${2-}" = again ] || { [ "$now" = "$since" ] && [ "${now#true false}" != "$now" ]; } || return 1
    sleep 0.25
  done
}

words() { # CONTAINER: what its broker said last, without the connections that were asked for here
  daemon logs --tail 60 "$1" 2>&1 | grep -Ev 'New connection|New client|disconnected' | tail -n 8
}

tidy() {
  [ -z "$container" ] || [ "$action" = remove ] || {
    daemon rm --force --volumes "$container-candidate" >/dev/null 2>&1 || :
    rm -rf -- "$folder/.candidate"
    [ -z "$passwords" ] || rm -f -- "$passwords$between"
  }
}

copy_candidate() { # PATH: its staged file, under its own name
  candidate=$folder/.candidate${1#"$folder"}
  mkdir -p -- "$(dirname -- "$candidate")"
  cp -p -- "$1$new" "$candidate" || fail "$1: can't be copied for a trial; is the disk full?"
}

# A second broker, from each image that is to run them, on copies, without network, ports or data.
# Never --test-config: it opens neither file, and near live data it empties the database.
validate() {
  # What the broker obeys already needs no trial. What a run that was killed left in place does.
  each_path differs
  [ -n "$different" ] || unread || return 0
  tidy
  mkdir -p -- "$folder/.candidate"
  each_path copy_candidate
  # What host/certificates.sh has put in place: the trial starts its listeners as well.
  [ ! -e "$folder/tls" ] || cp -Rp -- "$folder/tls" "$folder/.candidate/tls" ||
    fail "$folder/tls: can't be copied for a trial; is the disk full?"
  # On the host's own network a listener names the host's address, which a trial doesn't have.
  [ ! -e "$folder/.candidate/$conf" ] ||
    sed -i 's/^\(listener [0-9]*\) .*/\1/' "$folder/.candidate/$conf"
  hand_over "$folder/.candidate" "$uid" "$gid"
  try "$image"
  # Until it is replaced, the one that runs reads them too.
  running=$(state "$container" '{{.Image}}') || running=''
  if [ "${running:-$image}" != "$image" ] && runs; then try "$running"; fi
}

unread() { runs && ! obeys "$container"; }

differs() { # PATH
  cmp -s -- "$1" "$1$new" || different=yes
}

try() { # IMAGE
  daemon run --detach --name "$container-candidate" --network none --read-only --cap-drop ALL \
    --security-opt no-new-privileges:true --user "$uid:$gid" \
    --tmpfs "/mosquitto/data:mode=1777" --tmpfs "/mosquitto/log:mode=1777" \
    --env XDG_CONFIG_HOME=/mosquitto/config/health \
    --volume "$folder/.candidate:/mosquitto/config:ro" \
    "$1" /usr/sbin/mosquitto -c "/mosquitto/config/$conf" >/dev/null ||
    fail "image $1: a trial of the new files could not be started; nothing was changed"
  obeys_soon "$container-candidate" ||
    fail "Mosquitto refuses the new files; nothing was changed. It said:
$(words "$container-candidate")"
  daemon rm --force --volumes "$container-candidate" >/dev/null
}

signal() {
  # From inside: `docker kill -s HUP` would mark the container as stopped by hand, and it would
  # not come back after a reboot. 2.1 ends on bad files: then it is started again.
  daemon exec "$container" kill -HUP 1 2>/dev/null || daemon start "$container" >/dev/null 2>&1 || :
}

# A broker that is started between two renames must never know a login without the rules that bind
# it: who goes loses the login before the rules go, and who comes gets it after they are there. So
# the password file comes twice, first with the logins alone that stay; and so it does on the way back.
narrow() {
  [ -n "$passwords" ] || return 0
  narrowed=$passwords
  only_those_of "$passwords$new" ||
    fail "$passwords: can't be written; is the disk full? Nothing was changed"
}

put_back() {
  [ -z "$passwords" ] || only_those_of "$passwords$old" || :
  each_path restore
}

only_those_of() { # FILE
  [ -e "$passwords" ] && [ -e "$1" ] || return 0
  # Owner and mode, and then the text.
  cp -p -- "$passwords" "$passwords$between" &&
    awk -F : 'NR == FNR { stays[$1]; next } $1 in stays' "$1" "$passwords" >"$passwords$between" ||
    return 1
  cmp -s -- "$passwords" "$passwords$between" || {
    sync
    mv -f -- "$passwords$between" "$passwords"
  }
}

settle() {
  runs || return 0
  if obeys "$container"; then return 0; fi
  signal
  if obeys_soon "$container"; then return 0; fi
  said="It said:
$(words "$container")"
  what="the broker did not take the new files; the previous ones are in place again"
  [ -n "$different" ] || what="the broker does not take the files that were in place already"
  put_back
  signal
  if obeys_soon "$container" again; then fail "$what. $said"; fi
  # Serving nobody is better than letting everybody do everything (2.0, with rules that it refuses).
  if [ "$answered" -eq 2 ]; then
    daemon stop "$container" >/dev/null 2>&1 || :
    fail "$what. It let everybody do everything with those too, and was stopped: mend what it \
names, then make up, make restart. $said"
  fi
  fail "$what. It does not answer with those either: see make check. $said"
}
