#!/bin/sh
# Start the former container again, because Docker could not create or start the new one.
#
# Arguments: $1: apply
# Calls: database CONTAINER SOCKET IMAGE FOLDER (host/lib/database.sh);
#   former RESTART CONF (host/lib/former_container.sh); finish
# Stdin: the script and its calls
# Prints: nothing
# Exit codes: 0: the former container runs; 3: there is none; other: it could not be started
# needs: lib/former_container.sh

finish() {
  # shellcheck disable=SC2154 # defined in host/lib/database.sh
  daemon container inspect "$(former_name)" >/dev/null 2>&1 || exit 3
  bring_former_back || exit 1
}
