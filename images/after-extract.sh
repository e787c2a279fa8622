#!/bin/sh
# Run by mmdebstrap with the root folder of the image, once the packages are extracted there:
# makes it what the official image is to those who run it.
set -eu
root=$1

# What each package was, where image scanners look for it (as in Debian's "distroless" images).
status=$root/var/lib/dpkg/status.d
mkdir -p "$status"
for deb in "$root"/var/cache/apt/archives/*.deb; do
    name=$(dpkg-deb -f "$deb" Package)
    dpkg-deb -f "$deb" >"$status/$name"
done

case $PACKAGE in
    mosquitto)
        # The package's configuration is Debian's; nobody is to start a broker with it by accident.
        rm -rf "$root/etc/mosquitto"
        mkdir -p "$root/mosquitto/config" "$root/mosquitto/data" "$root/mosquitto/log"
        cp "$IMAGES/mosquitto.conf" "$root/mosquitto/config/mosquitto.conf"
        chmod 0644 "$root/mosquitto/config/mosquitto.conf"
        chown -R 1883:1883 "$root/mosquitto"
        ;;
    prometheus-mqtt-exporter)
        # As the official one, it holds a program and what that needs, and no shell.
        ln -s usr/bin/prometheus-mqtt-exporter "$root/mqtt2prometheus"
        rm -rf "$root/etc/prometheus" "$root/etc/init.d" "$root/etc/default" "$root/etc/logrotate.d"
        ;;
esac

mkdir -p "$root/root" "$root/var/empty" "$root/tmp" "$root/etc"
chmod 0700 "$root/root"
chmod 1777 "$root/tmp"
cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
mosquitto:x:1883:1883:mosquitto:/var/empty:/usr/sbin/nologin
END
cat >"$root/etc/group" <<'END'
root:x:0:
nogroup:x:65534:
mosquitto:x:1883:
END
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# sh, cat, kill and what else a small image has: busybox, where no package brought the real one.
if [ -e "$root/usr/bin/busybox" ]; then
    for applet in $("$root/usr/bin/busybox" --list); do
        for folder in bin sbin; do
            [ ! -e "$root/usr/$folder/$applet" ] || continue 2
        done
        ln -s busybox "$root/usr/bin/$applet"
    done
fi

# Nothing in it needs to become root, and a container without privileges could not.
find "$root/usr" -xdev -type f -perm /6000 -exec chmod a-s {} +

ldconfig -r "$root"

# The mirror, this machine's name and its resolver, and what only people read. Licences stay, and
# so does 00mmdebstrap, which mmdebstrap itself takes away.
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root/usr/share/man" "$root/usr/share/locale" "$root/usr/share/info" \
    "$root/usr/share/lintian" "$root"/usr/lib/*/gconv \
    "$root/etc/apt/sources.list" "$root/etc/hostname" "$root/etc/resolv.conf"
find "$root/var/cache/apt" "$root/var/lib/apt/lists" -type f -delete
