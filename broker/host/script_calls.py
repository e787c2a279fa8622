"""A host script and its calls, rendered as the stdin of one shell on the host."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits


@dataclass(frozen=True, kw_only=True)
class ScriptCall:
    """A call of a function that the script defines, with its stdin if it reads one."""

    words: tuple[str, ...]
    text: str | None = None

    @classmethod
    def of(cls, function: str, *arguments: str | int, text: str | None = None) -> ScriptCall:
        """Return a call; script_functions.py and probe_functions.py type the arguments."""
        return cls(words=(function, *map(str, arguments)), text=text)


_NEEDS = re.compile(r"^# needs: (\S+)$", re.MULTILINE)


def assemble(names: Iterable[str], read: Callable[[str], str]) -> str:
    """
    Return the text of the scripts *names*, each after the scripts that it needs, without repeats.

    *read* returns the text of a script by its name. A script names its prerequisites in lines
    ``# needs: NAME.sh``.
    """
    texts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in texts:
            return
        text = read(name)
        for needed in _NEEDS.findall(text):
            add(needed)
        texts[name] = text

    for name in names:
        add(name)
    return "".join(texts.values())


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a script records on the host after it has applied its calls (host/lib/applied.sh)."""

    container: str
    component: str
    """The name of the record; one for each resource."""
    revision: str


def render_stdin(script: str, calls: Iterable[ScriptCall], record: Record | None = None) -> str:
    """
    Return *script*, then its *calls*, as text for ``sh -s``.

    Secrets are on stdin because a command line is public: ``ps`` and the error message of
    pulumi-command show it. The script only defines functions, and the calls only collect input:
    if the connection breaks before the last call (``finish``), nothing has changed.
    """
    chunks = [script.rstrip("\n") + "\n"]
    if record is not None:
        words = ("applied", record.container, record.component, record.revision)
        chunks.append(shlex.join(words) + "\n")
    for call in calls:
        chunks.append(shlex.join(call.words))
        if call.text is not None:
            if not call.text.endswith("\n") or "\0" in call.text:
                raise ValueError(
                    f"{call.words}: the text must end with a newline and contain no NUL"
                )
            end = _end(call.text)
            chunks.append(f" <<'{end}'\n{call.text}{end}")
        chunks.append("\n")
    chunks.append("finish\n" if record is None else "finish\nrecord\n")
    return "".join(chunks)


def _end(text: str) -> str:
    """
    Return a delimiter for a here-document of *text*; no line of *text* has its first letter.

    dash drops a byte if a line begins like the delimiter and continues with a byte above 0x7f.
    """
    first_letters = {line[:1] for line in text.split("\n")}
    letter = next(letter for letter in _FIRST if letter not in first_letters)
    return f"{letter}END_{sha256(text.encode()).hexdigest()[:24]}"


# No text has lines that begin with all of these: ACL and password files use only a few.
_FIRST = "_%=+@:,." + ascii_uppercase + ascii_lowercase + digits
