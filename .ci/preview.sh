#!/bin/sh
# After it: preview-STACK.json holds what `pulumi preview --json` printed, or nothing where it
# failed. The file never leaves the job: only cli/development/pull_request.py reads it.
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
