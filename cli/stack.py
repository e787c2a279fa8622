"""Read a stack file without Pulumi."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from broker.credentials.external_secrets import KEYS, secrets_in_clear
from broker.host.transport import Transport, transport
from broker.settings.stack_settings import PROJECT, Settings, SettingsError
from cli.errors import CommandError, NotPerformedError

_PULUMI_RESOLVERS = {
    "tag:yaml.org,2002:bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    # Without the base-60 numbers of YAML 1.1: 1:30 is text.
    "tag:yaml.org,2002:int": re.compile(
        r"[-+]?(?:0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"
    ),
}

DEEPEST = 100
"""Levels of nesting; a stack file has less than ten."""

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack, as its file declares it."""

    name: str
    file: Path
    settings: Settings
    secrets_provider: str = ""
    """Pulumi's ``secretsprovider:``, such as ``awskms://...``; empty for a passphrase."""
    in_clear: tuple[str, ...] = ()
    """One sentence for each secret in clear text."""

    @property
    def transport(self) -> Transport:
        return transport(self.settings.broker.host, self.settings.broker.ssh_config)

    @classmethod
    def read(cls, name: str, folder: Path = ROOT) -> Stack:
        """
        Read ``Pulumi.<name>.yaml``.

        Raises:
            CommandError: there is no such file, it is not YAML, or its settings are invalid.

        """
        file = folder / f"Pulumi.{name}.yaml"
        if not file.is_file():
            known = sorted(path.name.split(".")[1] for path in folder.glob("Pulumi.*.yaml"))
            raise NotPerformedError(
                f"--stack {name}: there is no {file.name}. There are: {', '.join(known)}."
            )
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise CommandError(
                f"{file.name}, line {line}: is not UTF-8. Convert it, for example: iconv -f "
                f"LATIN1 -t UTF-8 {file.name}"
            ) from None
        return cls.parse(name, file, text)

    @classmethod
    def parse(cls, name: str, file: Path, text: str) -> Stack:
        """
        Read *text*, the content of *file* in some revision.

        Raises:
            CommandError: it is not YAML, or its settings are invalid.

        """
        if _may_be_deep(text) and _depth(text) > DEEPEST:
            raise CommandError(f"{file.name}: is nested more than {DEEPEST} levels deep")
        try:
            content = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
        except yaml.YAMLError as error:
            raise CommandError(f"{file.name} is not YAML: {error}") from None
        content = {} if content is None else content
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict | None):
            raise CommandError(
                f"{file.name}: has no mapping 'config:' (sentient-mqtt:broker, ...)."
            )
        prefix = f"{PROJECT}:"
        raw = {
            key.removeprefix(prefix): value
            for key, value in (content.get("config") or {}).items()
            if key.startswith(prefix)
        }
        secrets = {key: raw.pop(key) for key in KEYS if key in raw}
        try:
            settings = Settings.parse(raw)
        except SettingsError as error:
            raise CommandError(f"{file.name}:\n{error}") from None
        provider = str(content.get("secretsprovider") or "")
        return cls(
            name=name,
            file=file,
            settings=settings,
            secrets_provider=provider,
            in_clear=tuple(finding.text for finding in secrets_in_clear(secrets)),
        )

    def refuse_secrets_in_clear(self) -> None:
        """
        Return if the file has no secret in clear text; call this before changing anything.

        Raises:
            CommandError: a password, a hash or a private key is in the file in clear text.

        """
        if self.in_clear:
            raise CommandError("\n".join((f"{self.file.name}:", *self.in_clear)))


def _may_be_deep(text: str) -> bool:
    """Return an upper bound's answer, because `_depth` takes as long as reading the file."""
    depth = deepest = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    # Each block level needs a column.
    return deepest + max(map(len, re.findall(r"^[-? ]*", text, re.MULTILINE))) > DEEPEST


def _depth(text: str) -> int:
    """Return how deep *text* is nested, as far as it is YAML; libyaml crashes at 100,000 levels."""
    depth = deepest = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            deepest = max(deepest, depth)
            if deepest > DEEPEST:
                break
    except yaml.YAMLError:
        pass
    return deepest


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """
    Load YAML as Pulumi does.

    A duplicate key is an error, and every key is text. Only true and false are booleans; YAML 1.1
    includes ``no`` and ``off``.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, _PULUMI_RESOLVERS.get(tag, pattern)) for tag, pattern in resolvers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, *, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text", key.start_mark
                )
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key.value!r}", key.start_mark
                )
            keys.add(key.value)
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping
