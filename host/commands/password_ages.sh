#!/bin/sh
# Print since when each password is in use. Runs where Pulumi runs.
#
# The previous output is in PULUMI_COMMAND_STDOUT; a name and generation found there keeps its time.
#
# Arguments: none
# Calls: generations; finish
# Stdin: the script and its calls. `generations`: `NAME GENERATION` per line
# Prints: `NAME GENERATION TIME` per line (TIME: UTC, ISO 8601), or `gzip BASE64` of these lines,
#   or nothing if that is too long
# Exit codes: 0: done; other: failed
set -eu

# The next run gets this output in one variable: at most 128 KiB (MAX_ARG_STRLEN, execve(2)).
plain=60000
packed=125000
work=''

tidy() { [ -z "$work" ] || rm -rf -- "$work"; }
trap tidy EXIT

remembered() {
  case ${PULUMI_COMMAND_STDOUT-} in
    'gzip '*) printf '%s\n' "${PULUMI_COMMAND_STDOUT#gzip }" | base64 -d | gzip -dc ;;
    *) printf '%s\n' "${PULUMI_COMMAND_STDOUT-}" ;;
  esac
}

generations() { # `NAME GENERATION` per line on stdin
  work=$(mktemp -d)
  remembered >"$work/before"
  awk -v now="$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
    known { since[$1 " " $2] = $3; next }
    { print $1, $2, ($1 " " $2 in since ? since[$1 " " $2] : now) }
  ' known=1 "$work/before" known=0 - >"$work/after"
  if [ "$(wc -c <"$work/after")" -le "$plain" ]; then
    cat -- "$work/after"
    return 0
  fi
  gzip -9n <"$work/after" | base64 | tr -d '\n' >"$work/packed"
  # If that is too long, the times are lost; the passwords do not change.
  [ "$(wc -c <"$work/packed")" -gt "$packed" ] || echo "gzip $(cat -- "$work/packed")"
}

finish() { :; }
