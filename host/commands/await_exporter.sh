#!/bin/sh
# Correct the exporter's container and record it (host/lib/mend_container.sh).
#
# Arguments: $1: apply | remove (remove does nothing)
# Calls: created SOCKET NAME ID NETWORK RESTART MEMORY PROCESSES; finish
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: done; other: failed, with one message on stderr.
# needs: lib/mend_container.sh

action=$1

finish() {
  [ "$action" = apply ] || return 0
  mend_container
  record_container
}
