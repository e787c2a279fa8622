#!/bin/sh
# Write the output of `pulumi preview --json` to preview-STACK.json; an empty file if it failed.
# The file never leaves the job: only cli/development/pull_request.py reads it.
set -eu
cd "$(dirname -- "$0")/.."

stack=$1
umask 077
environment=$(./brokerctl env --stack "$stack")
eval "$environment"
pulumi preview --stack "$stack" --json --non-interactive >"preview-$stack.json" || {
  echo "pulumi preview of $stack failed; its message is above" >&2
  : >"preview-$stack.json"
}
