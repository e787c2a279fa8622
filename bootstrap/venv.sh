#!/bin/sh
# Install the packages of a requirements file into .venv, with their hashes checked.
# Usage: bootstrap/venv.sh REQUIREMENTS [ALTERNATIVE...]
# Does nothing if .venv has the packages of one of these files already.
set -eu

requirements=$1
venv=.venv

mark() { # REQUIREMENTS
  printf '%s' "$venv/.holds-$(cksum <"$1" | tr ' ' -)"
}

for file in "$@"; do
  [ ! -e "$(mark "$file")" ] || exit 0
done

python=''
for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
  if command -v "$candidate" >/dev/null 2>&1 &&
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "Python 3.11 or newer is required. Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv" >&2
  exit 1
fi

# Debian's python3 does not include ensurepip, with which venv installs pip.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "==> Python: installing Debian's python3-venv" >&2
    apt-get -qq update >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null
  else
    echo "$python has no ensurepip: install python3-venv (apt-get install python3-venv)" >&2
    exit 1
  fi
fi

count=$(grep -c '^[A-Za-z0-9]' "$requirements")
echo "==> Python: installing $count pinned packages into $venv (about 30 seconds)" >&2
started=$(date +%s)
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
  --requirement "$requirements"
rm -f "$venv"/.holds-*
: >"$(mark "$requirements")"
echo "    done in $(($(date +%s) - started)) s" >&2
