#!/bin/sh
# Record on the host which Pulumi state manages a broker, before anything else changes there.
#
# Fails if the record has changed since it was read for the preview: then another state is at work. `remove`
# deletes the record only if it names this state.
#
# Arguments: $1: apply | remove
# Calls: claim STATE DEPLOYMENT EXPECTED_STATE EXPECTED_DEPLOYMENT; put PATH MODE UID GID
#   (host/lib/put_files.sh), once; finish. EXPECTED: what the record says before; `- -`: there is none
# Stdin: the script and its calls. `put`: the record, with lines `state STATE` and `deployment DEPLOYMENT`
# Prints: nothing
# Exit codes: 0: done; 129, 130, 143: ended by SIGHUP, SIGINT, SIGTERM; other: failed, with one message on stderr.
# needs: lib/put_files.sh

# shellcheck disable=SC2154 # defined in host/lib/put_files.sh
state=''
claimed=''
expected=''

claim() { # STATE DEPLOYMENT EXPECTED_STATE EXPECTED_DEPLOYMENT
  state=$1
  claimed="$1 $2"
  expected="$3 $4"
}

recorded() { # PATH: prints `STATE DEPLOYMENT`
  awk '$1 == "state" { state = $2 } $1 == "deployment" { deployment = $2 } END { print state, deployment }' "$1"
}

unclaimed_or_ours() { # PATH
  [ -f "$1" ] || return 0
  found=$(recorded "$1")
  case $found in
    "$claimed" | "$expected" | ' '*) ;; # the last: a record that was emptied by hand
    *) fail "$1: another run of \`up\` has changed this record since the preview. It said: $expected, and says \
now: $found. Nothing was changed. Run the preview again" ;;
  esac
}

validate() { each_path unclaimed_or_ours; }

delete() { # PATH
  [ -f "$1" ] || return 0
  found=$(recorded "$1")
  [ "${found%% *}" = "$state" ] || return 0
  rm -f -- "$1"
  # Of a renamed container: the commands keep their files under its new name.
  rm -rf -- "${1%/*}/applied" "${1%/*}/answered.conf"
}
