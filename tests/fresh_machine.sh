#!/bin/sh
# Run the README's two commands, `make up` and `make test`, on a bare Debian root.
# Usage: tests/fresh_machine.sh [COMMAND...]      (default: make up, make test)
#
# The root holds a minimal Debian of this machine's release and what the README's Requirements name.
# From this machine it takes where packages come from (sources of apt, pip's and Go's settings,
# certificate authorities), Go itself, and the engine if it was built here already. It has mounts
# and processes of its own and shares the network. It is removed at the end, unless KEEP is set.
# Needs root and mmdebstrap. No Docker daemon may run here: the root starts its own.
set -eu

repository=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sentient-mqtt

fail() {
  echo "error: $1" >&2
  exit 2
}

[ "$(id -u)" -eq 0 ] || fail "a bare root needs root: run it as root, on a machine of your own."
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"
! docker version >/dev/null 2>&1 ||
  fail "a Docker daemon runs here; two would share one bridge and one set of firewall rules: stop it first."

# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
folder=$(mktemp -d /var/tmp/fresh-machine.XXXXXX)
root=$folder/root

clean() {
  if [ -n "${KEEP:-}" ]; then
    echo "==> kept: $root"
  else
    rm -rf --one-file-system -- "$folder"
  fi
}
trap clean EXIT

echo "==> a bare Debian $release"
sources=''
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
  [ ! -s "$file" ] || sources="$sources $file"
done
# shellcheck disable=SC2086 # one word per file
mmdebstrap --quiet --variant=minbase --include=ca-certificates,git,make,python3 \
  "$release" "$root" $sources

# Where this machine gets packages from.
cp -R /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
for file in /etc/pip.conf /etc/resolv.conf /etc/hosts; do
  [ ! -e "$file" ] || cp -L -- "$file" "$root$file"
done
mkdir -p "$root/usr/local/share/ca-certificates"
[ ! -d /usr/local/share/ca-certificates ] ||
  cp -R /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
chroot "$root" update-ca-certificates >/dev/null 2>&1

mkdir -p "$root/root/.cache/sentient-mqtt"
[ ! -d "$cache/engine" ] || cp -R "$cache/engine" "$root/root/.cache/sentient-mqtt/"
git clone --quiet "$repository" "$root/root/sentient-mqtt"
go=''
if command -v go >/dev/null; then
  go=$(go env GOROOT)
  GOPROXY=$(go env GOPROXY)
  export GOPROXY
  mkdir -p "$root$go"
fi

# shellcheck disable=SC2016 # the words of the shell in there
unshare --mount --pid --fork --ipc --uts sh -eu -c '
  root=$1 go=$2
  shift 2
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  if [ -n "$go" ]; then
    mount --bind "$go" "$root$go"
    mount -o remount,bind,ro "$root$go"
  fi
  path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${go:+:$go/bin}
  [ $# -gt 0 ] || set -- "make up && make test"
  # Not chroot: runc would mount the folders of a container at wrong paths.
  cd "$root"
  mkdir -p old
  pivot_root . old
  umount -l /old
  exec env -i HOME=/root PATH="$path" LC_ALL=C.UTF-8 TERM="${TERM:-dumb}" \
    ${GOPROXY:+"GOPROXY=$GOPROXY"} ${http_proxy:+"http_proxy=$http_proxy"} \
    ${https_proxy:+"https_proxy=$https_proxy"} ${no_proxy:+"no_proxy=$no_proxy"} \
    sh -c "cd /root/sentient-mqtt && $*"
' sh "$root" "$go" "$@"
