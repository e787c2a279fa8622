#!/bin/sh
# Run by mmdebstrap with the root folder of the image, before any package is extracted there.
set -eu
root=$1

# Debian ships /bin, /sbin, /lib as links into /usr, in a package of which nothing else is wanted.
for each in bin sbin lib; do
    mkdir -p "$root/usr/$each"
    [ -e "$root/$each" ] || ln -s "usr/$each" "$root/$each"
done
if [ "$(dpkg --print-architecture)" = amd64 ]; then
    mkdir -p "$root/usr/lib64"
    [ -e "$root/lib64" ] || ln -s usr/lib64 "$root/lib64"
fi
