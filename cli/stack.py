"""One stack file, read without Pulumi: enough to get a machine ready and say where things are."""

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

_AS_IN_PULUMI = {
    "tag:yaml.org,2002:bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"),
    # Without YAML 1.1's numbers to the base of sixty: 1:30 is text.
    "tag:yaml.org,2002:int": re.compile(
        r"[-+]?(?:0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"
    ),
}

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack that has a file."""

    name: str
    file: Path
    settings: Settings
    secrets_provider: str = ""
    """Pulumi's own ``secretsprovider:``, such as ``awskms://...``; empty for a passphrase."""
    in_clear: tuple[str, ...] = ()
    """One sentence for each secret that stands there in clear."""

    @property
    def transport(self) -> Transport:
        return transport(self.settings.broker.host, self.settings.broker.ssh_config)

    @classmethod
    def read(cls, name: str, folder: Path = ROOT) -> Stack:
        """
        Read ``Pulumi.<name>.yaml``.

        Raises:
            CommandError: there is no such file, it isn't YAML, or no broker could be built from it.

        """
        file = folder / f"Pulumi.{name}.yaml"
        if not file.is_file():
            known = sorted(each.name.split(".")[1] for each in folder.glob("Pulumi.*.yaml"))
            raise NotPerformedError(
                f"--stack {name}: there is no {file.name}. There are: {', '.join(known)}."
            )
        return cls.parse(name, file, file.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, name: str, file: Path, text: str) -> Stack:
        """
        Read *text*, that of *file* in some revision.

        Raises:
            CommandError: it isn't YAML, or no broker could be built from it.

        """
        try:
            content = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
        except yaml.YAMLError as wrong:
            raise CommandError(f"{file.name} is not YAML: {wrong}") from None
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
        except SettingsError as wrong:
            raise CommandError(f"{file.name}:\n{wrong}") from None
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
        Refuse, before anything is built or changed, what the program would refuse.

        Raises:
            CommandError: a password, a hash or a private key stands in the file in clear.

        """
        if self.in_clear:
            raise CommandError("\n".join((f"{self.file.name}:", *self.in_clear)))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """
    YAML as Pulumi reads it.

    A name that stands there twice is an error, not the last one, and every name is text. Only
    true and false are truth values: YAML 1.1 took ``no`` and ``off`` for one.
    """

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, _AS_IN_PULUMI.get(tag, pattern)) for tag, pattern in resolvers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, *, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a name must be text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands there twice", key.start_mark
                )
            seen.add(key.value)
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping
