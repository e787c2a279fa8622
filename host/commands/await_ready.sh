#!/bin/sh
# With host/lib/database.sh before it. After `apply`: the broker lets its health user in, through the
# network, and an anonymous client is refused; and what host/commands/before_start.sh put aside came back with the
# broker, or was brought back.
# needs: lib/database.sh

# shellcheck disable=SC2154 # host/lib/database.sh has the others
address=''
port=''
seconds=''
processes=''

broker() { # ADDRESS PORT SECONDS PROCESSES: where it answers, as its container sees it
  address=$1
  port=$2
  seconds=$3
  processes=$4
}

fail() {
  echo "$*. The broker's last words:" >&2
  daemon logs --tail 20 "$container" >&2 2>&1 || :
  exit 1
}

subscribe() { # docker exec's options; a broker that was taken over could keep it from its end
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

# Fewer after a start that failed is a loss too, as 2.1 empties its database then.
was_emptied() {
  [ "${held% *}" != '0 0' ] || return 1
  write_database || fail "container $container: its database could not be written (is the disk full?)"
  link_trial
  after=$(count_trial "$image") ||
    fail "container $container: its database can't be read by its own image"
  emptied "$held" "$after" ||
    { fewer "$held" "$after" && [ "$(state '{{.RestartCount}}')" -gt 0 ]; }
}

# One that runs since its first start is only busy, and holds what is in no copy.
started_well() {
  [ "$(state '{{.State.Running}} {{.State.Restarting}} {{.RestartCount}}')" = 'true false 0' ]
}

refuses_strangers() {
  status=0
  subscribe --env XDG_CONFIG_HOME=/nonexistent || status=$?
  # CONNACK's "not authorised" is a refusal; a time-out or a question that nobody heard is none.
  case $status in
    5) ;;
    0 | 27) fail "container $container: a client without a password was let in" ;;
    *) fail "container $container: whether it refuses a client without a password is unknown: \
mosquitto_sub ended with $status" ;;
  esac
}

finish() {
  [ "$action" = apply ] || return 0
  if ! answers; then
    look_aside
    [ -z "$held" ] || started_well || bring_back
    fail "container $container: its health user could not log in for $seconds seconds"
  fi
  # The provider has no word for it. Docker keeps it with the container, over every restart.
  daemon update --pids-limit "$processes" "$container" >/dev/null
  refuses_strangers
  look_aside
  [ -n "$held" ] || return 0
  if was_emptied; then
    bring_back
    daemon start "$container" >/dev/null
    answers || fail "container $container: did not come back with its earlier database"
  fi
  forget_aside
}
