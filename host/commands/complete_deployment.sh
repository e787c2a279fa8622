#!/bin/sh
# Record on the host that a deployment is complete: Pulumi has written all other resources to its state.
#
# `pulumi destroy` removes this resource first. It fails if another state, or a later deployment, made the
# broker; then nothing is removed.
#
# Arguments: $1: apply | remove
# Calls: complete RECORD STATE DEPLOYMENT; put PATH MODE UID GID (host/lib/put_files.sh), once; finish.
#   RECORD: the file of host/commands/claim_host.sh
# Stdin: the script and its calls. `put`: the line DEPLOYMENT
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh

# shellcheck disable=SC2154 # defined in host/lib/put_files.sh
record=''
state=''
deployment=''

complete() { # RECORD STATE DEPLOYMENT
  record=$1
  state=$2
  deployment=$3
}

recorded() { # WORD
  awk -v word="$1" '$1 == word { print $2; exit }' "$record"
}

# The record may be gone: somebody deleted the host's folder, or an interrupted removal did.
same_state() { # MESSAGE
  [ ! -f "$record" ] || [ "$(recorded state)" = "$state" ] ||
    fail "$record: says that another Pulumi state manages this broker: $(recorded state), not $state. $1"
}

validate() {
  same_state "It has taken the broker over during this run"
  [ ! -f "$record" ] || [ "$(recorded deployment)" = "$deployment" ] ||
    fail "$record: another run of \`up\` has begun meanwhile: $(recorded deployment)"
}

unsettle() {
  same_state "Nothing was removed"
  each_path same_deployment
}

same_deployment() { # PATH
  [ ! -f "$record" ] || [ ! -f "$1" ] || [ "$(cat -- "$1")" = "$deployment" ] ||
    fail "$1: the last deployment was $(cat -- "$1"), and this state knows only that of $deployment: it is an \
older copy. Nothing was removed. Use the newer state; if there is none, run \`up\` first"
}
