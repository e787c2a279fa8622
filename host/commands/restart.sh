#!/bin/sh
# With host/lib/database.sh before it and host/commands/await_ready.sh after it: restarts the container, its database
# on disk and linked aside first. host/commands/await_ready.sh then compares, and brings back what was lost.
# needs: lib/database.sh
# needs: lib/log_file.sh

# shellcheck disable=SC2154 # host/lib/database.sh has the others

restart() { # SECONDS: what the broker may take to end
  # A restore that is under way has its way back there.
  alone || fail "$(busy)"
  recover
  ! running || write_database ||
    fail "container $container: its database could not be written (is the disk full?)"
  if [ "$only_copy" = no ]; then
    put_aside
    before=$(count_trial "$image") ||
      fail "container $container: its database can't be read by its own image; it was not restarted"
    hold "$before"
  fi
  daemon restart -t "$1" "$container" >/dev/null
}
