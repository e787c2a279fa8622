#!/bin/sh
# With host/database.sh before it and host/ready.sh after it: restarts the container, its database
# on disk and linked aside first. host/ready.sh then compares, and brings back what was lost.

# shellcheck disable=SC2154 # host/database.sh has the others

restart() { # SECONDS: what the broker may take to end
  exec 9>"/run/sentient-mqtt-$container.lock"
  flock -w 120 9 || fail "container $container: its files have been changing for two minutes; try again"
  rm -rf -- "$aside"
  if [ "$(state '{{.State.Running}} {{.State.Restarting}}')" = 'true false' ]; then
    write_database || fail "container $container: its database could not be written (is the disk full?)"
  fi
  link_database "$aside"
  link_database "$trial"
  before=$(retained "$image" "$trial") ||
    fail "container $container: its database can't be read by its own image; it was not restarted"
  printf '%s\n' "$before" >"$aside/retained"
  daemon restart -t "$1" "$container" >/dev/null
}
