"""A stack file for a broker that was set up by hand; its clients notice nothing."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import Adoption, AdoptionError, adopt, render_stack_file
from broker.settings.stack_settings import PROJECT
from broker.settings.validators import check_name
from cli.errors import CommandError, NotPerformedError
from cli.pulumi import Pulumi
from cli.stack import ROOT, Stack

CONF = "mosquitto.conf"
MOST = 20


@dataclass(frozen=True)
class AdoptedStack:
    """The stack file that was written, what was assumed, and what is left to do."""

    stack: str
    file: Path
    adoption: Adoption

    @property
    def users(self) -> list[str]:
        return [*self.adoption.settings["users"]]

    @property
    def next_steps(self) -> list[str]:
        folder = self.adoption.settings["broker"]["folders"]["config"]
        return [
            f"keep a copy of {folder}: its files are written anew",
            f"./brokerctl preview --stack {self.stack}",
            "stop the old broker, keeping its data (docker compose down, without -v)",
            f"./brokerctl up --stack {self.stack}",
        ]

    def as_data(self) -> dict[str, Any]:
        """Return the result for JSON; it contains no hash."""
        return {
            "stack": self.stack,
            "file": str(self.file),
            "users": self.users,
            "assumptions": list(self.adoption.remarks),
            "next": self.next_steps,
        }

    def as_text(self) -> str:
        """Return the result as lines for a person."""
        users = self.users
        counted = (
            "1 user with the password that it has"
            if len(users) == 1
            else f"{len(users):,} users with the passwords that they have"
        )
        more = f" and {len(users) - MOST:,} more" if len(users) > MOST else ""
        lines = [f"{self.file.name}: {counted}: {', '.join(users[:MOST])}{more}"]
        if self.adoption.remarks:
            lines += ["", "Not as it was, or assumed; read each before `./brokerctl up`:"]
            lines += [f"  {remark}" for remark in self.adoption.remarks]
        return "\n".join([*lines, "", "Then:", *(f"  {step}" for step in self.next_steps)])


def adopt_broker(
    name: str, *, folder: str, conf: str, address: str, container: str, data: str, log: str
) -> AdoptedStack:
    """
    Write the stack file *name* and its secret, and return them with what is left to do.

    Raises:
        CommandError: nothing was written.

    """
    file = stack_file(name)
    path = _conf(folder, conf)
    if not address:
        raise NotPerformedError(
            "--address is missing: the host name or IP address that clients dial"
        )
    place = Place(
        address=address,
        config=str(path.parent),
        container=container or None,
        data=data or None,
        log=log or None,
    )
    try:
        adoption = adopt(path.name, Folder(path.parent), place, seed=secrets.token_urlsafe(32))
    except AdoptionError as wrong:
        raise CommandError(f"nothing was written. To be mended first:\n{wrong}") from None
    write(name, file, adoption)
    return AdoptedStack(name, file, adoption)


def stack_file(stack: str) -> Path:
    """
    Return the path of the file to be written.

    Raises:
        CommandError: it is there, or *stack* is no name for one.

    """
    try:
        check_name(stack)
    except ValueError as wrong:
        raise NotPerformedError(f"--stack {stack}: {wrong}") from None
    file = ROOT / f"Pulumi.{stack}.yaml"
    if file.exists() or file.is_symlink():
        raise CommandError(
            f"--stack {stack}: {file.name} is there already, and is left as it is. Choose another "
            "name, or move that file away"
        )
    return file


def _conf(folder: str, conf: str) -> Path:
    if bool(folder) == bool(conf):
        raise NotPerformedError(
            "give --from FOLDER, the one with its mosquitto.conf, or --conf FILE, the path of that "
            "file"
        )
    # Not resolved: what a link names may be another place on another day.
    path = Path(os.path.abspath(conf or Path(folder, CONF)))  # noqa: PTH100 (resolve follows links)
    if not _is_file(path):
        raise CommandError(f"{path}: there is no such file; one of another name is --conf FILE")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise _closed(path) from None


def _closed(path: Path) -> CommandError:
    return CommandError(
        f"{path}: may not be read; run this as its owner, or on a copy of the folder that is yours"
    )


class Folder(Mapping[str, str]):
    """The files of a folder and of the folders in it, by name; read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        found = (*self._path.glob("*"), *self._path.glob("*/*"))
        return (str(each.relative_to(self._path)) for each in sorted(found) if each.is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> str:
        file = self._path / name
        if not _is_file(file):
            raise KeyError(name)
        try:
            return file.read_bytes().decode()
        except PermissionError:
            raise _closed(file) from None
        except OSError as wrong:
            raise CommandError(f"{file}: {wrong.strerror}") from None
        except UnicodeDecodeError as wrong:
            line = wrong.object[: wrong.start].count(b"\n") + 1
            raise CommandError(f"{file}:{line}: is not UTF-8; mend it first") from None


def write(name: str, file: Path, adoption: Adoption) -> None:
    """Write the stack file and its hashes; a failure leaves no file."""
    text = render_stack_file(adoption.settings)
    stack = Stack.parse(name, file, text)
    # Before anything is written: another stack than dev needs a state backend of its own.
    pulumi = Pulumi.ready(stack)
    with file.open("x", encoding="utf-8") as target:
        target.write(text)
    try:
        pulumi.select()
        pulumi.ask(
            *("config", "set", "--stack", name, "--secret", f"{PROJECT}:hashes"),
            stdin=json.dumps(adoption.hashes),
        )
    except BaseException:
        file.unlink()
        raise
