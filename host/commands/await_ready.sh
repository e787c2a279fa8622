#!/bin/sh
# Wait until a started broker admits its health user and refuses an anonymous client, and check its database.
#
# If the broker lost its database at the start, the copy that host/commands/prepare_replacement.sh put aside is
# restored, and the broker is started again. If the broker does not start, the former container comes back
# (host/lib/former_container.sh).
#
# Arguments: $1: apply | remove (remove deletes its copy of mosquitto.conf)
# Calls: database CONTAINER SOCKET IMAGE FOLDER (host/lib/database.sh);
#   former RESTART CONF (host/lib/former_container.sh);
#   created SOCKET NAME ID NETWORK RESTART MEMORY PROCESSES (host/lib/mend_container.sh);
#   broker ADDRESS PORT SECONDS PROCESSES; finish. SECONDS: time-out of the first login;
#   PROCESSES: the limit of processes in the container
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: ready; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message
#   and the last 20 lines of the container's log on stderr.
# needs: lib/database.sh
# needs: lib/former_container.sh
# needs: lib/mend_container.sh

# shellcheck disable=SC2154 # defined in host/lib/database.sh
address=''
port=''
seconds=''
processes=''

broker() { # ADDRESS PORT SECONDS PROCESSES: its listener, as seen in the container
  address=$1
  port=$2
  seconds=$3
  processes=$4
}

fail() {
  echo "$*. The last lines of the broker's log:" >&2
  daemon logs --tail 20 "$container" >&2 2>&1 || :
  exit 1
}

subscribe() { # OPTIONS of docker exec; the time-out is for a compromised broker that never answers
  timeout 20 docker -H "$socket" exec "$@" "$container" mosquitto_sub -h "$address" -p "$port" \
    -t "\$SYS/broker/uptime" -C 1 -W 2 -I ready- </dev/null >/dev/null 2>&1
}

answers() {
  deadline=$(($(date +%s) + seconds))
  until subscribe --env LANG=C; do
    [ "$(date +%s)" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

# A smaller count after a failed start is a loss, too: 2.1 empties its database then.
was_emptied() {
  [ "${held% *}" != '0 0' ] || return 1
  write_database || fail "container $container: its database could not be written (is the disk full?)"
  link_trial
  after=$(count_trial "$image") ||
    fail "container $container: its database can't be read by its own image"
  emptied "$held" "$after" ||
    { fewer "$held" "$after" && [ "$(state '{{.RestartCount}}')" -gt 0 ]; }
}

# A broker that runs since its first start is only busy, and its data is in no copy.
started_well() {
  [ "$(state '{{.State.Running}} {{.State.Restarting}} {{.RestartCount}}')" = 'true false 0' ]
}

refuses_strangers() {
  status=0
  subscribe --env XDG_CONFIG_HOME=/nonexistent || status=$?
  # 5 is CONNACK's "not authorised". A time-out or a failed connection does not prove a refusal.
  case $status in
    5) ;;
    0 | 27) fail "container $container: admits a client without a password" ;;
    *) fail "container $container: whether it refuses a client without a password is unknown: \
mosquitto_sub ended with $status" ;;
  esac
}

finish() {
  [ "$action" = apply ] || {
    forget_conf
    return 0
  }
  mend_container
  await_ready
  record_container
}

await_ready() {
  if ! answers; then
    look_aside
    started_well || {
      said=$(daemon logs --tail 20 "$container" 2>&1) || :
      [ -z "$held" ] || bring_back
      ! bring_former_back || {
        echo "container $container: the new one did not start, and the former one runs again. The last lines \
of the new one's log: $said" >&2
        exit 1
      }
    }
    fail "container $container: its health user could not log in for $seconds seconds"
  fi
  # The provider has no argument for it. Docker keeps the limit over every restart of the container.
  daemon update --pids-limit "$processes" "$container" >/dev/null
  refuses_strangers
  forget_former
  keep_conf
  look_aside
  [ -n "$held" ] || return 0
  if was_emptied; then
    bring_back
    daemon start "$container" >/dev/null
    answers || fail "container $container: did not come back with its earlier database"
  fi
  forget_aside
}
