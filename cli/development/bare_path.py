"""A PATH with the programs of a fresh machine that has the packages of the tests, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.packages import PACKAGES

FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
BESIDE = ("apt", "make", "python3-venv", "docker.io", "docker-cli", "mmdebstrap")
"""Packages that a person has before `make test`, or that bootstrap/ installs."""

SETUP = (
    *("docker*", "dockerd*", "containerd*", "ctr", "runc", "tini*"),
    *("iptables", "ip6tables", "mmdebstrap", "go", "gofmt", "pulumi*"),
)
"""Patterns of programs that bootstrap/ installs or finds, wherever they come from."""

FIELDS = ("Package", "Essential", "Priority", "Pre-Depends", "Depends", "Provides", "Status")


@dataclass(frozen=True)
class Package:
    """An installed package, by what it depends on."""

    name: str
    minimal: bool
    """Whether a Debian without it is none: ``Essential: yes`` or ``Priority: required``."""
    depends: tuple[str, ...]
    """Each alternative of each dependency."""
    provides: tuple[str, ...]


def link_programs(folder: Path, path: str) -> None:
    """
    Fill *folder* with links to the programs that the tests may run.

    Those are the ones of a minimal Debian, of ``PACKAGES``, of ``BESIDE``, of what all of these
    depend on, and this Python as ``python3``. A program that is named in ``PACKAGES`` or ``SETUP``
    may also come from somewhere else on *path*.
    """
    installed = installed_packages()
    wanted = closure(installed, (*PACKAGES, *BESIDE))
    owned = {os.path.realpath(file) for file in _files(wanted)}
    for directory in FOLDERS:
        for program in sorted(Path(directory).iterdir()):
            # Through Debian's alternatives, a program may have names that no package lists.
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
    """Return what dpkg has installed."""
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
    """Read the fields of one package."""
    return Package(
        name=row["Package"],
        minimal=row["Essential"] == "yes" or row["Priority"] == "required",
        depends=tuple(_names(f"{row['Pre-Depends']},{row['Depends']}")),
        provides=tuple(_names(row["Provides"])),
    )


def closure(installed: Iterable[Package], names: Iterable[str]) -> set[str]:
    """Return the minimal packages, those of *names*, and what these depend on, if installed."""
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
