#!/bin/sh
# Put the configuration files of a broker in place, all or none, and make the running broker load them.
#
# If the broker does not load them, or can't be asked, what is in place afterwards is within both the
# previous files and the new ones (host/lib/narrower_access.sh): revoked access stays revoked, and
# granted access is not in place unverified. Clients that the change does not concern stay connected.
# Killed at any instant, the script leaves complete files and a running broker. The next `apply`
# completes the change, because it asks the broker, and not the files, whether a reload is due.
#
# Arguments: $1: apply | remove
# Calls: lock PATH; broker CONTAINER SOCKET PORT FOLDER CONF [PASSWORDS SECONDS]; image NAME;
#   retreat ACL LOGINS CANARY HEALTH_USER; put PATH MODE UID GID (host/lib/put_files.sh); finish.
#   SOCKET: a Docker endpoint (unix:///...); CONF, PASSWORDS, ACL, LOGINS, CANARY: file names in FOLDER
# Stdin: the script and its calls. `put`: the text of the file. `retreat`: the line of the password file
#   for another canary user, then the options file of that user
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh
# needs: lib/narrower_access.sh

# shellcheck disable=SC2034,SC2154 # action, new, old, narrowed: defined in host/lib/put_files.sh

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

lock() { # PATH: one run at a time; the kernel releases the lock when this shell ends
  if [ "$action" = remove ]; then
    rm -f -- "$1"
    return 0
  fi
  exec 9>"$1"
  lock_within 120 9 || fail "$1: another run has held this lock for two minutes; wait for its end"
}

# The broker that reads the files. While a reload hashes the password of every connected client, it does
# not answer: SECONDS is the longest time for that.
broker() { # CONTAINER SOCKET PORT FOLDER CONF [PASSWORDS SECONDS]
  container=$1
  socket=$2
  port=$3
  folder=$4
  conf=$5
  [ -z "${6-}" ] || passwords=$folder/$6
  patience=${7:-$patience}
  applied_kind=loaded
}

# What a reverted change needs: the names of the files with rules, stamps of logins and options of the
# canary, and another canary, which tells a broker that has read the reverted files from one that has not.
retreat() { # ACL LOGINS CANARY HEALTH_USER; on stdin the canary's line of the password file, then its options
  IFS= read -r canary_line
  canary_options=$(cat)
  rules=$folder/$1
  logins=$folder/$2
  canary=$folder/$3
  health=$4
}

image() { # NAME: the image of the container that will read the files
  [ "$action" = apply ] || return 0
  image=$(daemon image inspect --format '{{.Id}}' "$1") || fail "image $1: is not on this host"
}

daemon() { docker -H "$socket" "$@" </dev/null; }

state() { # CONTAINER FORMAT
  daemon container inspect --format "$2" "$1" 2>/dev/null
}

# Whether a running broker reads these files. A container whose folder changes reads others, and is
# replaced afterwards.
runs() {
  [ "$(state "$container" '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ] || return 1
  state "$container" '{{range .Mounts}}{{.Source}}{{println}}{{end}}' | grep -qxF -- "$folder" || return 1
  # A folder that was removed and created again is another one than that in the container.
  seen=$(daemon exec "$container" stat -c %i /mosquitto/config 2>/dev/null) || seen=''
  [ -z "$seen" ] || [ "$seen" = "$(stat -c %i -- "$folder")" ]
}

# Where a container is asked: on its reserved listener, which clients can't reach and so can't fill; on
# its plain listener if it was created without a reserved one. A candidate has no labels and answers on
# its loopback. The port in the new files is that of the next container.
place_of() { # CONTAINER: sets port_there and address_there
  place=$(state "$1" '{{with .Config.Labels}}{{with index . "sentient-mqtt.reserved"}}{{.}} 127.0.0.1{{else}}{{index . "sentient-mqtt.port"}} {{index . "sentient-mqtt.address"}}{{end}}{{end}}') ||
    place=''
  port_there=${place%% *}
  port_there=${port_there:-$port}
  address_there=${place#* }
  address_there=${address_there:-127.0.0.1}
}

# Whether a broker enforces the files in place. The canary user gets another password with every change of
# the files and may do nothing. If the broker admits it, it has read the files; if it refuses the publish,
# it enforces the rules. 2.0 with a bad ACL file drops every rule; then the publish succeeds.
#
# Returns 0: it does; 1: it answers, and does not; 2: it grants every client full access; 3: unknown: a
# time-out, a closed connection, or a client that could not run.
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
  # 5 is CONNACK's "not authorised", here and below.
  [ "$status" -ne 5 ] || return 1
  [ "$status" -eq 0 ] || return 3
  status=0
  daemon exec --env XDG_CONFIG_HOME=/nonexistent "$1" timeout 8 mosquitto_sub -h "$address_there" -p "$port_there" \
    -t "\$SYS/broker/uptime" -C 1 -W 2 -I anonymous- >/dev/null 2>&1 || status=$?
  # A time-out or a failed connection does not prove a refusal.
  [ "$status" -ne 0 ] || return 1
  [ "$status" -eq 5 ] || return 3
}

# Whether the broker has no free file descriptor. A reload can't open the files then: 2.0 disconnects
# every client and refuses every login until the next reload; 2.1 exits. After a reload, 2.0 does not
# enforce max_connections, so idle connections alone can cause this.
full() {
  # shellcheck disable=SC2016 # expanded by the shell in the container
  files_open=$(daemon exec "$container" sh -c '
    for process in /proc/[0-9]*; do
      read -r name <"$process/comm" && [ "$name" = mosquitto ] || continue
      most=$(sed -n "s/^Max open files  *\([0-9]*\) .*/\1/p" "$process/limits")
      set -- "$process"/fd/*
      [ "$#" -lt "${most:-$(($# + 1))}" ] || echo "$#"
    done' 2>/dev/null) || files_open=''
  [ -n "$files_open" ]
}

# Signal once, and again if the broker answers but has not read the files. If it does not answer, it may
# be hashing the password of every client, and another signal would start that again.
signal_if_due() {
  clock=$(date +%s)
  [ -z "$signalled" ] || { [ "$answered" -eq 1 ] && [ $((clock - signalled)) -ge 5 ]; } || return 0
  if full; then return 0; fi
  signal
  signalled=$clock
}

# Wait until the broker enforces the files. Stops early if it exited or grants every client full access.
# With `again` and `started` a signal or a restart (2.1) may still be under way, so both are tolerated.
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
    # Docker restarts a broker that exited; it runs until it exits again.
    now=$(state "$1" "$alive")
    case ${2-} in
      again | started) ;;
      *)
        [ "$now" = "$since" ] && [ "${now#true false}" != "$now" ] || {
          # An exit is an answer, too (2.1).
          answered=1
          return 1
        }
        ;;
    esac
    sleep 0.25
  done
}

last_log_lines() { # CONTAINER: without the connections of these checks
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

copy_candidate() { # PATH: copies its staged file under its final name
  candidate=$folder/.candidate${1#"$folder"}
  mkdir -p -- "$(dirname -- "$candidate")"
  cp -p -- "$1$new" "$candidate" || fail "$1: can't be copied for a trial; is the disk full?"
}

# Starts a second broker from every image that will read the files: on copies, without network, ports or
# data. --test-config is no alternative: it opens neither file, and with live data it empties the database.
validate() {
  # Files that the broker enforces already need no trial. Files that a killed run put in place do.
  each_path differs
  [ -n "$different" ] || unread || return 0
  tidy
  mkdir -p -- "$folder/.candidate"
  each_path copy_candidate
  # The trial starts the TLS listeners, too: host/commands/certificates.sh has put their files in place.
  [ ! -e "$folder/tls" ] || cp -Rp -- "$folder/tls" "$folder/.candidate/tls" ||
    fail "$folder/tls: can't be copied for a trial; is the disk full?"
  # With `network: host` a listener names an address of the host, which a trial does not have.
  [ ! -e "$folder/.candidate/$conf" ] ||
    sed -i 's/^\(listener [0-9]*\) .*/\1/' "$folder/.candidate/$conf"
  hand_over "$folder/.candidate" "$uid" "$gid"
  try "$image"
  # Until it is replaced, the running container reads the files, too.
  running=$(state "$container" '{{.Image}}') || running=''
  if [ "${running:-$image}" != "$image" ] && runs; then try "$running"; fi
}

unread() { runs && ! obeys "$container"; }

differs() { # PATH
  [ -f "$1" ] && [ ! -L "$1" ] && cmp -s -- "$1" "$1$new" || different=yes
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
$(last_log_lines "$container-candidate")"
  daemon rm --force --volumes "$container-candidate" >/dev/null
}

signal() {
  # From inside the container: `docker kill -s HUP` marks it as stopped by hand, and Docker would not
  # start it after a reboot. 2.1 exits on bad files: then it is started again.
  daemon exec "$container" kill -HUP 1 2>/dev/null || daemon start "$container" >/dev/null 2>&1 || :
}

# A broker that starts between two renames must not know a login without its rules: a removed user loses
# the login before the rules, and a new user gets it after them. So the password file is put in place
# twice, first with only the logins that stay; likewise when the change is reverted.
narrow() {
  [ -n "$passwords" ] || return 0
  [ -z "$rules" ] || stage_retreat ||
    fail "$folder: can't be written; is the disk full? Nothing was changed"
  narrowed=$passwords
  only_those_of "$passwords$new" ||
    fail "$passwords: can't be written; is the disk full? Nothing was changed"
}

# Sets `named` to the file that the broker reads now for KEY of mosquitto.conf; /dev/null if there is none.
in_force() { # KEY PATH
  named=$(sed -n "s/^$1 //p" "$folder/$conf" 2>/dev/null | tail -n 1)
  named=${named:+$folder/${named##*/}}
  named=${named:-$2}
  [ "$named" = "$2" ] || names_stay=no
  [ -f "$named" ] || named=/dev/null
}

# Before anything is in place, so that a full disk can't prevent a revert.
stage_retreat() {
  for path in "$rules" "$passwords" "$logins" "$canary"; do
    # Copies owner and mode; the text follows.
    cp -p -- "$path$new" "$path$both" || return 1
  done
  in_force acl_file "$rules"
  rules_of_both "$named" "$rules$new" "${canary_line%%:*}" "$health" >"$rules$both" || return 1
  in_force password_file "$passwords"
  logins_of_both "$named" "$passwords$new" "${canary_line%%:*}" "$health" >"$passwords$both" &&
    printf '%s\n' "$canary_line" >>"$passwords$both" &&
    printf '%s\n' "$canary_options" >"$canary$both" || return 1
  [ -f "$logins" ] && named=$logins || named=/dev/null
  stamps_of_both "$named" "$logins$new" "withdrawn-$(date +%s)" >"$logins$both"
}

# The broker did not load the new files, or could not be asked. Logins are removed before their rules.
take_back() {
  sync
  for path in "$passwords" "$rules" "$canary" "$logins"; do
    [ ! -e "$path$both" ] || mv -f -- "$path$both" "$path"
  done
  # If the new mosquitto.conf names other files, the previous one would bring the previous files back.
  [ "$names_stay" = no ] || [ ! -e "$folder/$conf$old" ] || mv -f -- "$folder/$conf$old" "$folder/$conf"
}

put_back() {
  [ -z "$passwords" ] || only_those_of "$passwords$old" || :
  each_path restore
}

only_those_of() { # FILE
  [ -f "$passwords" ] && [ -e "$1" ] || return 0
  # Copies owner and mode; the text follows.
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
  # host/commands/certificates.sh left a restart to this command, which installs the other files.
  restart_due=/etc/sentient-mqtt/$container/certificates/restart-due
  if [ -e "$restart_due" ]; then
    daemon restart "$container" >/dev/null 2>&1 || :
    obeys_soon "$container" started || :
    rm -f -- "$restart_due"
  fi
  if obeys "$container"; then return 0; fi
  if obeys_soon "$container" signal; then return 0; fi
  log="It said:
$(last_log_lines "$container")"
  case $answered in
    3) result="could not be verified: the broker did not answer for $patience seconds$(out_of_files)" ;;
    *) result="the broker did not load the new files" ;;
  esac
  if [ -n "$different" ]; then
    take_back
    result="$result. Access that the change revokes stays revoked (removed users, old passwords, removed \
rules), and access that it grants was reverted"
  else
    result="$result: they were in place already"
  fi
  asked=$answered
  had_read=$signalled
  obeyed=yes
  obeys_soon "$container" again || obeyed=no
  # It never had a free file descriptor to read them with. Revoked access would stay in use.
  if [ "$obeyed" = no ] && [ -z "$had_read$signalled" ]; then
    result="$result. It was restarted, as nothing else makes it read the files: every client was \
disconnected once"
    daemon restart "$container" >/dev/null 2>&1 || :
    obeyed=yes
    obeys_soon "$container" started || obeyed=no
  fi
  [ "$obeyed" = no ] ||
    fail "$result. The broker enforces the files that are in place now; ./brokerctl up applies the whole \
change. $log"
  # No service is better than full access for every client (2.0, with rules that it can't read).
  if [ "$answered" -eq 2 ]; then
    daemon stop "$container" >/dev/null 2>&1 || :
    fail "$result. It granted every client full access with the files in place now, too, and was stopped: \
fix what it names, then run ./brokerctl up and ./brokerctl restart. $log"
  fi
  [ "$answered" -ne 3 ] || [ "$asked" -eq 3 ] ||
    result="$result. Whether the broker enforces that could not be verified$(out_of_files)"
  [ "$answered" -eq 3 ] || result="$result. The broker does not load that either"
  fail "$result. It comes into force when the broker reads the files: at its next reload or start. Close \
connections (./brokerctl inventory and ./brokerctl refused list their owners), or run ./brokerctl \
restart, which disconnects every client once; then run ./brokerctl up again. $log"
}

out_of_files() {
  ! full || printf '%s' ", as all of its $files_open files are open (broker.limits.openFiles)"
}
