"""A host script and the texts it works on, as the one stdin of a shell on the host."""

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits


@dataclass(frozen=True, kw_only=True)
class ScriptCall:
    """One call of a function that the script defines, with its stdin if it reads one."""

    words: tuple[str, ...]
    text: str | None = None


_NEEDS = re.compile(r"^# needs: (\S+)$", re.MULTILINE)


def assemble(names: Iterable[str], read: Callable[[str], str]) -> str:
    """
    Return the text of the scripts *names*, with those that they need before them, each once.

    *read* returns the text of a script by its name. A script names what it needs in lines
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


def render_stdin(script: str, calls: Iterable[ScriptCall]) -> str:
    """
    Return *script*, then its *calls*, as text for ``sh -s``.

    Everything travels on stdin because a command line is public: ``ps`` shows it, and so does
    pulumi-command's error when a script fails. The script only defines functions; what it does
    begins with the calls, and a connection that breaks before the last of them (``finish``)
    has changed nothing.
    """
    parts = [script.rstrip("\n") + "\n"]
    for call in calls:
        parts.append(shlex.join(call.words))
        if call.text is not None:
            if not call.text.endswith("\n") or "\0" in call.text:
                raise ValueError(f"{call.words}: a here-document is whole lines without NUL")
            end = _end(call.text)
            parts.append(f" <<'{end}'\n{call.text}{end}")
        parts.append("\n")
    parts.append("finish\n")
    return "".join(parts)


def _end(text: str) -> str:
    """
    Return a word that ends a here-document of *text*, and that no line of it begins like.

    dash drops a byte where a line begins like the word and goes on with one above 0x7f.
    """
    begun = {line[:1] for line in text.split("\n")}
    letter = next(each for each in _FIRST if each not in begun)
    return f"{letter}END_{sha256(text.encode()).hexdigest()[:24]}"


# No text of ours has lines that begin with each of these: ACL and password files know but a few.
_FIRST = "_%=+@:,." + ascii_uppercase + ascii_lowercase + digits
