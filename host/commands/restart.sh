#!/bin/sh
# Restart a container after its database was saved and linked aside.
#
# host/commands/await_ready.sh follows in the same shell: it compares the database and restores what was lost.
#
# Arguments: $1: apply
# Calls: database CONTAINER SOCKET IMAGE FOLDER (host/lib/database.sh);
#   broker ADDRESS PORT SECONDS PROCESSES (host/commands/await_ready.sh);
#   log_file PATH MODE UID GID (host/lib/log_file.sh); restart SECONDS; finish.
#   SECONDS of restart: the time that the broker has to stop
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/database.sh
# needs: lib/log_file.sh

# shellcheck disable=SC2154 # defined in host/lib/database.sh

restart() { # SECONDS: the time that the broker has to stop
  # A restore that is under way keeps its previous database there.
  alone || fail "$(busy)"
  recover
  save_if_running ||
    fail "container $container: its database could not be written (is the disk full?)"
  if [ "$only_copy" = no ]; then
    put_aside
    before=$(count_trial "$image") ||
      fail "container $container: its database can't be read by its own image; it was not restarted"
    hold "$before"
  fi
  daemon restart -t "$1" "$container" >/dev/null
}
