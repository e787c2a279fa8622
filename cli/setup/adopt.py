"""Write a stack file for an existing broker; its clients keep their passwords."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import Adoption, AdoptionError, adopt, render_stack_file
from broker.adopt.own_files import WithoutOwnParts
from broker.settings.stack_settings import PROJECT
from broker.settings.validators import check_image, check_name
from cli.errors import CommandError, NotPerformedError
from cli.pulumi import Pulumi
from cli.stack import ROOT, Stack

CONF = "mosquitto.conf"
USERS_SHOWN = 20


@dataclass(frozen=True)
class AdoptedStack:
    """The stack file that was written, the assumptions in it, and the next steps."""

    stack: str
    file: Path
    adoption: Adoption
    own: bool = False
    """Whether the broker is one of this program, whose state was lost."""

    @property
    def users(self) -> list[str]:
        return [*self.adoption.settings["users"]]

    @property
    def next_steps(self) -> list[str]:
        folder = self.adoption.settings["broker"]["folders"]["config"]
        if self.own:
            return [
                f"keep a copy of {folder}: its files are rewritten",
                f"./brokerctl up --stack {self.stack} --take-over",
            ]
        return [
            f"keep a copy of {folder}: its files are rewritten",
            f"./brokerctl preview --stack {self.stack}",
            "stop the old broker, keeping its data (docker compose down, without -v)",
            f"./brokerctl up --stack {self.stack}",
        ]

    def as_data(self) -> dict[str, Any]:
        """Return the result for JSON, without password hashes."""
        return {
            "stack": self.stack,
            "file": str(self.file),
            "users": self.users,
            "assumptions": list(self.adoption.remarks),
            "next": self.next_steps,
        }

    def as_text(self) -> str:
        """Return the result as lines for a person."""
        present = [name for name in self.users if name in self.adoption.hashes]
        generated = [name for name in self.users if name not in self.adoption.hashes]
        lines = [
            f"{self.file.name}: {_counted(users)} with {password}: {_names(users)}"
            for users, password in (
                (present, f"{'its' if len(present) == 1 else 'their'} present password"),
                (generated, "a generated password"),
            )
            if users
        ]
        if self.adoption.remarks:
            lines += ["", "Changed or assumed; read these before `./brokerctl up`:"]
            lines += [f"  {remark}" for remark in self.adoption.remarks]
        return "\n".join([*lines, "", "Then:", *(f"  {step}" for step in self.next_steps)])


def _counted(users: list[str]) -> str:
    return f"{len(users):,} user{'s' * (len(users) > 1)}"


def _names(users: list[str]) -> str:
    more = f" and {len(users) - USERS_SHOWN:,} more" if len(users) > USERS_SHOWN else ""
    return f"{', '.join(users[:USERS_SHOWN])}{more}"


def adopt_broker(
    name: str,
    *,
    folder: str,
    conf: str,
    address: str,
    container: str,
    image: str,
    data: str,
    log: str,
) -> AdoptedStack:
    """
    Write the stack file *name* and its secret, and return them with what is left to do.

    Raises:
        CommandError: nothing was written.

    """
    file = stack_file(name)
    image = _image(image)
    path = _conf(folder, conf)
    if not address:
        raise NotPerformedError(
            "--address is missing: the host name or IP address that clients dial"
        )
    place = Place(
        address=address,
        config=str(path.parent),
        container=container or None,
        image=image or None,
        data=data or None,
        log=log or None,
    )
    try:
        texts = WithoutOwnParts(path.name, Folder(path.parent))
        adoption = adopt(path.name, texts, place)
    except AdoptionError as error:
        raise CommandError(f"nothing was written. Fix this first:\n{error}") from None
    write(name, file, adoption)
    return AdoptedStack(name, file, adoption, own=texts.own)


def stack_file(stack: str) -> Path:
    """
    Return the path of the stack file to write.

    Raises:
        CommandError: it exists already, or *stack* can't be the name of a stack.

    """
    try:
        check_name(stack)
    except ValueError as error:
        raise NotPerformedError(f"--stack {stack}: {error}") from None
    file = ROOT / f"Pulumi.{stack}.yaml"
    if file.exists() or file.is_symlink():
        raise CommandError(
            f"--stack {stack}: {file.name} already exists and is left unchanged. Choose another "
            "name, or move that file away"
        )
    return file


def _image(image: str) -> str:
    try:
        return check_image(image) if image else ""
    except ValueError as error:
        raise NotPerformedError(f"--image {image}: {error}") from None


def _conf(folder: str, conf: str) -> Path:
    if bool(folder) == bool(conf):
        raise NotPerformedError(
            "give --from FOLDER, the one with its mosquitto.conf, or --conf FILE, the path of that "
            "file"
        )
    # Links are not resolved, because their targets may change.
    path = Path(os.path.abspath(conf or Path(folder, CONF)))  # noqa: PTH100 (resolve follows links)
    if not _is_file(path):
        raise CommandError(
            f"{path}: there is no such file; if it has another name, use --conf FILE"
        )
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise _not_readable(path) from None


def _not_readable(path: Path) -> CommandError:
    return CommandError(
        f"{path}: may not be read; run this as its owner, or on a copy of the folder"
    )


class Folder(Mapping[str, str]):
    """
    The texts of the files in a folder and below, by path; read on access.

    Only two levels below are listed, but all can be read. Text that is not UTF-8 is kept: Mosquitto
    accepts it in comments.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        paths = (path for level in ("*", "*/*", "*/*/*") for path in self._path.glob(level))
        return (str(path.relative_to(self._path)) for path in sorted(paths) if path.is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> str:
        file = self._path / name
        if not _is_file(file):
            raise KeyError(name)
        try:
            return file.read_bytes().decode(errors="surrogateescape")
        except PermissionError:
            raise _not_readable(file) from None
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None


def write(name: str, file: Path, adoption: Adoption) -> None:
    """Write the stack file and the password hashes; after a failure there is no file."""
    text = render_stack_file(adoption.settings)
    stack = Stack.parse(name, file, text)
    # Before anything is written: stacks other than dev need a configured state backend.
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
