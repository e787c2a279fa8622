"""
Files that this program wrote, without what every broker of this program has.

A broker whose Pulumi state is lost is adopted like any other. Its files have two logins and a
listener for checks; the adopted broker gets its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from broker.host.layout import HEALTH_DIR
from broker.mosquitto.canary import NAME as CANARY
from broker.mosquitto.mosquitto_conf import FIRST_LINE, RESERVED_CONNECTIONS

HEALTH_OPTIONS = f"{HEALTH_DIR}/mosquitto_sub"


class WithoutOwnParts(Mapping[str, str]):
    """
    The texts of a folder, read on access. The numbers of the remaining lines are the same.

    They are unchanged if this program did not write the file *conf*.
    """

    def __init__(self, conf: str, texts: Mapping[str, str]) -> None:
        self._conf, self._texts = conf, texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def own(self) -> bool:
        """Whether this program wrote the files."""
        return self._texts.get(self._conf, "").startswith(f"{FIRST_LINE}\n")

    def __getitem__(self, name: str) -> str:
        text = self._texts[name]
        if not self.own:
            return text
        conf = self._texts[self._conf]
        if name == self._conf:
            return _RESERVED.sub("\n\n\n", text)
        if name == _named("password_file", conf):
            return self._without_own_logins(text)
        if name == _named("acl_file", conf):
            return self._without_own_rules(text)
        return text

    @property
    def _own_logins(self) -> set[str]:
        words = self._texts.get(HEALTH_OPTIONS, "").split()
        return {CANARY, *words[1:2]}

    def _without_own_logins(self, text: str) -> str:
        lines = text.split("\n")
        return "\n".join(
            "" if line.partition(":")[0] in self._own_logins else line for line in lines
        )

    def _without_own_rules(self, text: str) -> str:
        users = {f"user {name}" for name in self._own_logins}
        blocks = text.split("\n\n")
        return "\n\n".join(
            "\n" * block.count("\n") if users & set(block.split("\n")) else block
            for block in blocks
        )


_RESERVED = re.compile(
    rf"^listener \d+ 127\.0\.0\.1\nprotocol mqtt\nmax_connections {RESERVED_CONNECTIONS}\n\Z",
    re.MULTILINE,
)
"""The last listener of a file with one (broker/mosquitto/mosquitto_conf.py)."""


def _named(directive: str, conf: str) -> str:
    found = re.search(rf"^{directive} .*/(.+)$", conf, re.MULTILINE)
    return found[1] if found else ""
