"""The Debian packages whose programs the tests run; `make test` installs them first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bootstrap import apt, progress

FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")

PACKAGES: dict[str, tuple[str, ...]] = {
    "age": ("age", "age-keygen"),
    "busybox": ("busybox",),
    "chromium": ("chromium",),
    "cron": ("cron",),
    "gcc": ("cc",),
    "git": ("git",),
    "iproute2": ("ip",),
    "iptables": ("iptables", "ip6tables"),
    "libc6-dev": ("/usr/include/stdio.h",),
    "libnss3-tools": ("certutil",),
    # The tests call its parser of env files; its name contains the release.
    "libsystemd-shared": ("/usr/lib/*/systemd/libsystemd-shared-*.so",),
    "logrotate": ("logrotate",),
    "mawk": ("mawk",),
    "mosquitto-clients": ("mosquitto_sub", "mosquitto_pub"),
    "nftables": ("nft",),
    "openssh-client": ("ssh", "ssh-keygen"),
    "openssh-server": ("sshd",),
    "openssl": ("openssl",),
    "procps": ("pgrep", "sysctl"),
    "strace": ("strace",),
    "sudo": ("sudo",),
    "systemd": ("systemctl", "systemd-analyze"),
    "ufw": ("ufw", "/lib/ufw/ufw-init"),
}
"""The programs, or patterns of the files, that the tests need, by package."""

BENCH: dict[str, tuple[str, ...]] = {"ansible-core": ("ansible-playbook",)}
"""As PACKAGES, for `make bench`."""


def missing(names: Iterable[str] = PACKAGES, root: Path = Path("/")) -> list[str]:
    """Return which of *names* lack a program or a file below *root*."""
    listed = PACKAGES | BENCH
    return [name for name in names if not all(_exists(file, root) for file in listed[name])]


def install(names: Iterable[str] = PACKAGES, *, what: str) -> None:
    """Install those of *names* that are missing; *what* prefixes the status lines."""
    if lacking := missing(names):
        with progress.step(f"{what}: installing Debian's {', '.join(lacking)}"):
            apt.install(lacking, what=what)


def _exists(file: str, root: Path) -> bool:
    if file.startswith("/"):
        return any(root.glob(file[1:]))
    return any((root / folder / file).exists() for folder in FOLDERS)
