#!/bin/sh
# With host/lib/put_files.sh before it. After `apply`: the broker that runs obeys the new files, and nobody
# whom they don't concern was disconnected. Or it fails, and what is in place is within both the
# previous files and the new ones (host/lib/narrower_access.sh): what the change takes away is not given back
# because a broker did not answer, and what it grants is not there unverified.
#
# Killed at any instant, it leaves whole files and a broker that runs. The next `apply` completes
# it, because it asks the broker and not the files whether a reload is due.
# needs: lib/put_files.sh
# needs: lib/narrower_access.sh

# shellcheck disable=SC2034,SC2154 # action, new, old, narrowed: host/lib/put_files.sh has them

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
both=.sentient-mqtt-both # what the previous version of a file and the new one both allow
rules=''
logins=''
canary=''
canary_line=''
canary_options=''
health=''
names_stay=yes # the previous mosquitto.conf names the same files as the new one
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

# What the way back of a change needs: which of the files are rules, logins' stamps and the canary's
# options, and another canary, so that a broker that has read them is told from one that has not.
retreat() { # ACL LOGINS CANARY HEALTH_USER; on stdin its line of the password file, then its options
  IFS= read -r canary_line
  canary_options=$(cat)
  rules=$folder/$1
  logins=$folder/$2
  canary=$folder/$3
  health=$4
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

# Where a container is asked: on the listener that is kept free for it, which clients do not reach
# and so can't fill; in one that was made without it, on its plain listener. A candidate has no
# labels, and answers on its loopback; the port in the new files is that of the next container.
place_of() { # CONTAINER: sets port_there and address_there
  place=$(state "$1" '{{with .Config.Labels}}{{with index . "sentient-mqtt.reserved"}}{{.}} 127.0.0.1{{else}}{{index . "sentient-mqtt.port"}} {{index . "sentient-mqtt.address"}}{{end}}{{end}}') ||
    place=''
  port_there=${place%% *}
  port_there=${port_there:-$port}
  address_there=${place#* }
  address_there=${address_there:-127.0.0.1}
}

# A user whose password is new with each change of the files, and who may do nothing: the broker
# has read the files when it lets that user in, and keeps to them when it refuses the publish. 2.0
# with a bad ACL file drops every rule; then the publish passes.
#
# 1: it answers, and does not obey. 2: it lets everybody do everything. 3: it could not be asked:
# a time-out, a connection that is closed, no client that could run.
obeys() { # CONTAINER
  passed=yes
  place_of "$1"
  answer=$(daemon exec --env XDG_CONFIG_HOME=/mosquitto/config/canary "$1" timeout 5 mosquitto_pub \
    -h "$address_there" -p "$port_there" -V 5 -q 1 -t sentient-mqtt/denied -m x -I canary- 2>&1) || passed=no
  case $answer in
    *'Publish '*' failed: Not authori'*) ;;
    *) [ "$passed" = no ] || return 2
      case $answer in *[Nn]'ot authori'*) return 1 ;; *) return 3 ;; esac ;;
  esac
  status=0
  daemon exec "$1" timeout 8 mosquitto_sub -h "$address_there" -p "$port_there" -t "\$SYS/broker/uptime" -C 1 -W 3 \
    -I health- >/dev/null 2>&1 || status=$?
  # CONNACK's "not authorised", here and below.
  [ "$status" -ne 5 ] || return 1
  [ "$status" -eq 0 ] || return 3
  status=0
  daemon exec --env XDG_CONFIG_HOME=/nonexistent "$1" timeout 8 mosquitto_sub -h "$address_there" -p "$port_there" \
    -t "\$SYS/broker/uptime" -C 1 -W 2 -I anonymous- >/dev/null 2>&1 || status=$?
  # A time-out is no refusal, and no more is a question that nobody heard.
  [ "$status" -ne 0 ] || return 1
  [ "$status" -eq 5 ] || return 3
}

# Whether the broker has no file descriptor free. A reload can't open the files then: 2.0 disconnects
# everybody and refuses every login until the next one, 2.1 ends. 2.0 counts max_connections no more
# after a reload, so idle connections alone do it.
full() {
  # shellcheck disable=SC2016 # that shell's own
  files_open=$(daemon exec "$container" sh -c '
    for process in /proc/[0-9]*; do
      read -r name <"$process/comm" && [ "$name" = mosquitto ] || continue
      most=$(sed -n "s/^Max open files  *\([0-9]*\) .*/\1/p" "$process/limits")
      set -- "$process"/fd/*
      [ "$#" -lt "${most:-$(($# + 1))}" ] || echo "$#"
    done' 2>/dev/null) || files_open=''
  [ -n "$files_open" ]
}

# Once, and again where it answers but has not read the files. Not where it doesn't answer: it may
# be hashing the password of each client, and each signal more is one round more of that.
signal_if_due() {
  clock=$(date +%s)
  [ -z "$signalled" ] || { [ "$answered" -eq 1 ] && [ $((clock - signalled)) -ge 5 ]; } || return 0
  if full; then return 0; fi
  signal
  signalled=$clock
}

# The new files it obeys, or has ended, or lets everybody do everything: each moment more is one too
# many. After others were put in place a signal is on its way, and a restart (2.1).
obeys_soon() { # CONTAINER [signal|again|started]; a candidate reads the files when it starts
  begun=$(date +%s)
  since=$(state "$1" "$alive")
  signalled=''
  answered=0
  while :; do
    case ${2-} in signal | again) signal_if_due ;; esac
    answered=0
    obeys "$1" || answered=$?
    most=$patience
    [ "$answered" -ne 2 ] || case ${2-} in again | started) most=5 ;; *) most=0 ;; esac
    [ "$answered" -ne 0 ] || return 0
    [ $(($(date +%s) - begun)) -lt "$most" ] || return 1
    # Docker starts again what has ended, and it runs until it ends again.
    now=$(state "$1" "$alive")
    case ${2-} in
      again | started) ;;
      *)
        [ "$now" = "$since" ] && [ "${now#true false}" != "$now" ] || {
          # That is an answer, too (2.1).
          answered=1
          return 1
        }
        ;;
    esac
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
    [ -z "$passwords" ] || rm -f -- "$passwords$between" "$passwords$both"
    [ -z "$rules" ] || rm -f -- "$rules$both" "$logins$both" "$canary$both"
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
  # What host/commands/certificates.sh has put in place: the trial starts its listeners as well.
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
  [ -z "$rules" ] || stage_retreat ||
    fail "$folder: can't be written; is the disk full? Nothing was changed"
  narrowed=$passwords
  only_those_of "$passwords$new" ||
    fail "$passwords: can't be written; is the disk full? Nothing was changed"
}

# The file that the broker reads now where the new mosquitto.conf has PATH; /dev/null where none.
in_force() { # KEY PATH
  named=$(sed -n "s/^$1 //p" "$folder/$conf" 2>/dev/null | tail -n 1)
  named=${named:+$folder/${named##*/}}
  named=${named:-$2}
  [ "$named" = "$2" ] || names_stay=no
  [ -e "$named" ] || named=/dev/null
}

# Before anything is in place, so that a full disk can't keep the way back from being written.
stage_retreat() {
  for path in "$rules" "$passwords" "$logins" "$canary"; do
    # Owner and mode, and then the text.
    cp -p -- "$path$new" "$path$both" || return 1
  done
  in_force acl_file "$rules"
  rules_of_both "$named" "$rules$new" "${canary_line%%:*}" "$health" >"$rules$both" || return 1
  in_force password_file "$passwords"
  logins_of_both "$named" "$passwords$new" "${canary_line%%:*}" "$health" >"$passwords$both" &&
    printf '%s\n' "$canary_line" >>"$passwords$both" &&
    printf '%s\n' "$canary_options" >"$canary$both" || return 1
  [ -e "$logins" ] && named=$logins || named=/dev/null
  stamps_of_both "$named" "$logins$new" "withdrawn-$(date +%s)" >"$logins$both"
}

# The broker did not take the new files, or could not be asked. Logins go before their rules do.
take_back() {
  sync
  for path in "$passwords" "$rules" "$canary" "$logins"; do
    [ ! -e "$path$both" ] || mv -f -- "$path$both" "$path"
  done
  # Where they name other files than before, the previous mosquitto.conf would bring those back.
  [ "$names_stay" = no ] || [ ! -e "$folder/$conf$old" ] || mv -f -- "$folder/$conf$old" "$folder/$conf"
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
  if obeys_soon "$container" signal; then return 0; fi
  said="It said:
$(words "$container")"
  case $answered in
    3) what="could not be verified: the broker could not be asked for $patience seconds$(out_of_files)" ;;
    *) what="the broker did not take the new files" ;;
  esac
  if [ -n "$different" ]; then
    take_back
    what="$what. What the change takes away stays taken away (removed users, old passwords, rules \
that are gone), and what it grants was put back"
  else
    what="$what: they were in place already"
  fi
  asked=$answered
  had_read=$signalled
  obeyed=yes
  obeys_soon "$container" again || obeyed=no
  # It never had a file descriptor free to read them with. What was taken away would go on.
  if [ "$obeyed" = no ] && [ -z "$had_read$signalled" ]; then
    what="$what. It was restarted, as nothing else makes it read the files: everybody was \
disconnected once"
    daemon restart "$container" >/dev/null 2>&1 || :
    obeyed=yes
    obeys_soon "$container" started || obeyed=no
  fi
  [ "$obeyed" = no ] ||
    fail "$what. The broker obeys what is in place now; ./brokerctl up puts the whole change \
in place. $said"
  # Serving nobody is better than letting everybody do everything (2.0, with rules that it refuses).
  if [ "$answered" -eq 2 ]; then
    daemon stop "$container" >/dev/null 2>&1 || :
    fail "$what. It let everybody do everything with what is in place now too, and was stopped: \
mend what it names, then ./brokerctl up, ./brokerctl restart. $said"
  fi
  [ "$answered" -ne 3 ] || [ "$asked" -eq 3 ] ||
    what="$what. Whether the broker obeys that could not be verified$(out_of_files)"
  [ "$answered" -eq 3 ] || what="$what. The broker does not take that either"
  fail "$what. It comes into force when the broker reads the files: at its next reload or start. Make \
room (./brokerctl inventory and ./brokerctl refused say who holds connections), or ./brokerctl \
restart, which disconnects everybody once; then ./brokerctl up again. $said"
}

out_of_files() {
  ! full || printf '%s' ", as all of its $files_open files are open (broker.limits.openFiles)"
}
