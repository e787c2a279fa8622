#!/bin/sh
# After `apply`: the broker lets its health user in, through the network, and an anonymous client
# is refused.
set -eu

action=$1
container=''
socket=''
port=''
seconds=''

broker() { # CONTAINER SOCKET PORT SECONDS
  container=$1
  socket=$2
  port=$3
  seconds=$4
}

in_container() {
  docker -H "$socket" exec "$@" </dev/null
}

fail() {
  echo "$*. The broker's last words:" >&2
  docker -H "$socket" logs --tail 20 "$container" >&2 2>&1 </dev/null || :
  exit 1
}

subscribe() { # docker exec's options
  in_container "$@" "$container" mosquitto_sub -h 127.0.0.1 -p "$port" \
    -t "\$SYS/broker/uptime" -C 1 -W 2 -I ready- >/dev/null 2>&1
}

finish() {
  [ "$action" = apply ] || return 0
  deadline=$(($(date +%s) + seconds))
  until subscribe --env LANG=C; do
    [ "$(date +%s)" -lt "$deadline" ] ||
      fail "container $container: its health user could not log in for $seconds seconds"
    sleep 0.2
  done
  status=0
  subscribe --env XDG_CONFIG_HOME=/nonexistent || status=$?
  # 27 is "timed out": connected, and then no message. Only a refusal is a refusal.
  case $status in
    0|27) fail "container $container: a client without a password was let in" ;;
  esac
}
