"""Make a PATH with only the programs of a fresh machine that has the packages of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.packages import PACKAGES

FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
PREINSTALLED = ("apt", "make", "python3-venv", "docker.io", "docker-cli", "mmdebstrap")
"""Packages that are there before `make test`, or that bootstrap/ installs."""

SETUP = (
    *("docker*", "dockerd*", "containerd*", "ctr", "runc", "tini*"),
    *("iptables", "ip6tables", "mmdebstrap", "go", "gofmt", "pulumi*"),
)
"""Patterns of programs that bootstrap/ installs or finds, from any source."""

FIELDS = ("Package", "Essential", "Priority", "Pre-Depends", "Depends", "Provides", "Status")


@dataclass(frozen=True)
class Package:
    """An installed package and its dependencies."""

    name: str
    minimal: bool
    """Whether every Debian has it: ``Essential: yes`` or ``Priority: required``."""
    depends: tuple[str, ...]
    """Each alternative of each dependency."""
    provides: tuple[str, ...]


def link_programs(folder: Path, path: str) -> None:
    """
    Fill *folder* with links to the programs that the tests may run.

    Those are the programs of a minimal Debian, of ``PACKAGES`` and ``PREINSTALLED``, of their
    dependencies, and this Python as ``python3``. A program that is named in ``PACKAGES`` or
    ``SETUP`` may also come from another folder of *path*.
    """
    installed = installed_packages()
    required = closure(installed, (*PACKAGES, *PREINSTALLED))
    owned = {os.path.realpath(file) for file in _files(required)}
    for directory in FOLDERS:
        for program in sorted(Path(directory).iterdir()):
            # Debian's alternatives add names that no package lists.
            if os.path.realpath(program) in owned:
                _link(folder, program)
    named = [
        program for programs in PACKAGES.values() for program in programs if "/" not in program
    ]
    for directory in path.split(os.pathsep):
        for pattern in (*SETUP, *named):
            for program in sorted(Path(directory or ".").glob(pattern)):
                if os.access(program, os.X_OK):
                    _link(folder, program)
    (folder / "python3").unlink(missing_ok=True)
    (folder / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")


def installed_packages() -> list[Package]:
    """Return the packages that dpkg has installed."""
    form = "\t".join(f"${{{name}}}" for name in FIELDS) + "\n"
    done = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = (dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines())
    return [parse(row) for row in rows if row["Status"].endswith(" installed")]


def parse(row: Mapping[str, str]) -> Package:
    """Return the package that a row of dpkg-query's output describes."""
    return Package(
        name=row["Package"],
        minimal=row["Essential"] == "yes" or row["Priority"] == "required",
        depends=tuple(_names(f"{row['Pre-Depends']},{row['Depends']}")),
        provides=tuple(_names(row["Provides"])),
    )


def closure(installed: Iterable[Package], names: Iterable[str]) -> set[str]:
    """Return the installed packages of a minimal Debian and of *names*, with dependencies."""
    packages: dict[str, list[Package]] = {}
    waiting = list(names)
    for package in installed:
        for name in (package.name, *package.provides):
            packages.setdefault(name, []).append(package)
        if package.minimal:
            waiting.append(package.name)
    found: set[str] = set()
    while waiting:
        for package in packages.get(waiting.pop(), ()):
            if package.name not in found:
                found.add(package.name)
                waiting += package.depends
    return found


def _names(relation: str) -> Iterator[str]:
    for alternative in relation.replace("|", ",").split(","):
        words = alternative.split()
        if words:
            yield words[0].partition(":")[0]


def _files(names: Iterable[str]) -> Iterator[str]:
    done = subprocess.run(
        ["dpkg-query", "--listfiles", *sorted(names)],
        capture_output=True,
        text=True,
        check=True,
    )
    for file in done.stdout.splitlines():
        if os.path.dirname(file) in FOLDERS:  # noqa: PTH120  (a hundred thousand lines)
            yield file


def _link(folder: Path, program: Path) -> None:
    link = folder / program.name
    if not link.is_symlink():
        link.symlink_to(program)
