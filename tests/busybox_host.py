"""
The programs of a host whose basic tools are those of BusyBox, such as Alpine Linux.

``link_tools`` fills a folder for PATH with BusyBox's applets and the packages that a host needs
besides (``OTHERS``). A program of coreutils, findutils, tar or util-linux is not in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

OTHERS = ("age", "age-keygen", "docker", "logrotate", "nft", "iptables", "ip6tables", "openssl")
"""Packages of their own on every distribution, linked where this machine has them."""

# Debian's BusyBox has no flock. That of Alpine and OpenWrt: `flock [-sxun] FD | FILE COMMAND`.
FLOCK = """#!/bin/sh
case $1 in
  -*[!sxun]*) echo "flock: unrecognized option: $1" >&2; exit 1 ;;
esac
exec /usr/bin/flock "$@"
"""


def link_tools(folder: Path) -> Path:
    """Return *folder*, filled with the programs of a BusyBox host."""
    busybox = shutil.which("busybox")
    assert busybox, "`make test` installs BusyBox (bootstrap/packages.py)"
    folder.mkdir(parents=True)
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in listed.stdout.split():
        (folder / applet).symlink_to(busybox)
    for name in OTHERS:
        if program := shutil.which(name):
            (folder / name).symlink_to(os.path.realpath(program))
    (folder / "flock").write_text(FLOCK, encoding="utf-8")
    (folder / "flock").chmod(0o755)
    return folder
