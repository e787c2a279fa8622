#!/bin/sh
# Writes the root file system of an image, made of Debian's packages, to stdout as a tar: Mosquitto's,
# or with prometheus-mqtt-exporter as a second word that of the exporter of its statistics.
#
#   images/build.sh trixie > rootfs.tar
#
# `docker import` makes an image of it; setup/image.py does both, and says how the image is named.
set -eu

refuse() {
    printf 'images/build.sh: %s\n' "$*" >&2
    exit 2
}

# The mirror that this host's own apt uses for the archive labelled $1 ("Debian", "Debian-Security").
mirror() {
    # shellcheck disable=SC2016  # apt puts its own value there
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Component: main' "Label: $1" 2>/dev/null |
        head -n 1 | sed 's|/*$||'
}

[ "$#" -eq 1 ] || [ "$#" -eq 2 ] ||
    refuse 'say one suite of Debian, for example: images/build.sh trixie > rootfs.tar'
suite=$1
PACKAGE=${2:-mosquitto}
case $PACKAGE in
    mosquitto) include=mosquitto,mosquitto-clients,busybox-static,libc-bin ;;
    prometheus-mqtt-exporter) include=prometheus-mqtt-exporter,libc-bin ;;
    *) refuse "$PACKAGE: only mosquitto and prometheus-mqtt-exporter are known here." ;;
esac
case $suite in
    trixie | forky) ;;
    *) refuse "$suite: only trixie (Mosquitto 2.0) and forky (2.1, for tests) are proven here." ;;
esac
[ ! -t 1 ] || refuse 'the tar goes to stdout: send it to a file, images/build.sh trixie > rootfs.tar'
[ -e /etc/debian_version ] ||
    refuse 'this is neither Debian nor Ubuntu, so its packages can not be read. Build on one that is, or let Docker pull the official image.'
[ "$(id -u)" -eq 0 ] ||
    refuse 'the files of the image belong to root and to uid 1883, so only root can build it: sudo images/build.sh ...'
PATH=$PATH:/usr/sbin:/sbin
for each in mmdebstrap ldconfig; do
    command -v "$each" >/dev/null ||
        refuse "$each is not installed: apt-get install mmdebstrap debian-archive-keyring"
done

IMAGES=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
export IMAGES PACKAGE

main=${DEBIAN_MIRROR:-$(mirror Debian)}
[ -n "$main" ] ||
    refuse 'this host has no archive of Debian among its sources: say one, DEBIAN_MIRROR=http://... ./brokerctl up'
set -- "deb $main $suite main"
security=$(mirror Debian-Security)
if [ "$suite" = trixie ] && [ -n "$security" ]; then
    set -- "$@" "deb $security $suite-security main"
fi

# forky is no release yet: on a mirror its Release file may be past the date it bears.
if [ "$suite" = forky ]; then
    set -- "$@" --aptopt='Acquire::Check-Valid-Until "false"'
fi

# shellcheck disable=SC2016  # mmdebstrap's own shell expands what stands in the hooks
mmdebstrap --variant=extract \
    --include="$include" \
    --setup-hook='sh "$IMAGES/before-extract.sh" "$1"' \
    --extract-hook='sh "$IMAGES/after-extract.sh" "$1"' \
    "$suite" - "$@" ||
    refuse "mmdebstrap could not build $suite; its own words stand above. Where they speak of a missing key (NO_PUBKEY): apt-get install debian-archive-keyring"
