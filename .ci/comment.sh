#!/bin/sh
# Write or update the one comment of this project on the pull request NUMBER. Without a token that
# may write it, as on a fork, the comment is only in the log.
# Usage: BASE=revision NUMBER=n .ci/comment.sh github|gitlab
set -eu
cd "$(dirname -- "$0")/.."

sh bootstrap/venv.sh requirements.txt requirements-dev.txt >&2
set -- "$1" --base "$BASE"
for file in preview-*.json; do
  [ -e "$file" ] || continue
  stack=${file#preview-}
  set -- "$@" --preview "${stack%.json}=$file"
done
where=$1
shift
.venv/bin/python -m cli.development.pull_request "$@" >comment.md
cat comment.md
exec .venv/bin/python -m cli.development.pull_request_comment "$where" --number "$NUMBER" --file comment.md
