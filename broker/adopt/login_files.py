"""A password file and an ACL file that somebody wrote by hand, read as Mosquitto reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.access.rules import Access
from broker.credentials.password_hashes import check_hash, derive_salt, hash_password
from broker.settings.base_model import OneLine, SettingsModel
from broker.settings.password_settings import Passwords
from broker.settings.validators import check_user_name

_MOST = 80


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of one of the files."""

    file: str
    number: int
    text: str

    def says(self, what: str, quoted: str | None = None) -> str:
        """Return *what* with its place; *quoted* stands for a line that may hold a secret."""
        shown = self.text.strip() if quoted is None else quoted
        shown = shown if len(shown) <= _MOST else f"{shown[:_MOST]}..."
        return f"{self.file}:{self.number}: {shown!r}: {what}"


def lines_of(file: str, text: str) -> Iterator[Line]:
    """Yield the lines as Mosquitto has them: only a line feed ends one."""
    for number, line in enumerate(text.split("\n"), start=1):
        yield Line(file=file, number=number, text=line.removesuffix("\r"))


@dataclass(kw_only=True)
class Notes:
    """What there is to say of the files."""

    remarks: list[str] = field(default_factory=list)
    """What a stack file can't express, or has otherwise."""
    errors: list[str] = field(default_factory=list)
    """What must be mended first."""

    def remark(self, line: Line, what: str, quoted: str | None = None) -> None:
        self.remarks.append(line.says(what, quoted))

    def error(self, line: Line, what: str, quoted: str | None = None) -> None:
        self.errors.append(line.says(what, quoted))


@dataclass(frozen=True, kw_only=True)
class Login:
    """A line of the password file."""

    line: Line
    hash: str = field(repr=False)
    plain: str = field(default="", repr=False)
    """The password, where it stood in clear."""


def read_passwords(file: str, text: str, *, seed: str, notes: Notes) -> dict[str, Login]:
    """
    Return the logins by name. *seed* is for the salt of a password that stands there in clear.

    A note quotes the user's name and nothing else of a line.
    """
    logins: dict[str, Login] = {}
    for line in lines_of(file, text):
        if line.text.startswith("#"):
            notes.remark(line, "a comment, also where it was a login; not adopted", "#")
        elif ":" in line.text:
            _read_login(line, logins, seed, notes)
        elif line.text.strip():
            notes.remark(line, "has no ':', so Mosquitto skips it; not adopted", "")
    return logins


def _read_login(line: Line, logins: dict[str, Login], seed: str, notes: Notes) -> None:
    # As strtok(3) cuts it: colons in a row are one.
    name, *others = [each.strip() for each in line.text.split(":") if each] or [""]
    # What holds a '$' may be a hash whose user's name got lost.
    quoted = "" if "$" in name or line.text.startswith(":") else name
    try:
        check_user_name(quoted)
    except ValueError as wrong:
        notes.error(
            line, f"{wrong}; give it such a name here, in the ACL and at its clients", quoted
        )
        return
    if name in logins:
        number = logins[name].line.number
        notes.error(line, f"has a login in line {number} already; take one of them out", name)
    elif len(others) > 1:
        notes.error(line, "Mosquitto reads nothing behind a second ':'; take that out", name)
    elif not others or not others[0]:
        notes.error(line, "has no password; set one, or take the line out", name)
    elif "$" in others[0]:
        try:
            logins[name] = Login(line=line, hash=check_hash(others[0]))
        except ValueError as wrong:
            notes.error(
                line, f"{wrong} (or take the line out, and let a password be generated)", name
            )
    else:
        salt = derive_salt(seed, name, "adopted")
        iterations = Passwords().supplied_iterations
        hashed = hash_password(others[0], salt, iterations)
        logins[name] = Login(line=line, hash=hashed, plain=others[0])
        notes.remark(
            line,
            "its password was in plain text, which no Mosquitto since 2.0 takes; it is hashed now, "
            "so the login works. Whoever could read the file knows it: rotate it",
            name,
        )


@dataclass(frozen=True, kw_only=True)
class HandRule:
    """A ``topic`` or ``pattern`` line."""

    line: Line
    access: Access
    filter: str


@dataclass(kw_only=True)
class Block:
    """A user's lines, wherever they stand."""

    line: Line
    description: str = ""
    rules: list[HandRule] = field(default_factory=list)


@dataclass(kw_only=True)
class HandAcl:
    """An ACL file."""

    blocks: dict[str, Block] = field(default_factory=dict)
    patterns: list[HandRule] = field(default_factory=list)


class _Described(SettingsModel):
    description: OneLine


def read_acl(file: str, text: str, notes: Notes) -> HandAcl:
    """Return the rules by user, and everybody's."""
    acl = HandAcl()
    block: Block | None = None
    above: list[Line] = []
    lost: list[Line] = []
    for raw in lines_of(file, text):
        line = Line(file=file, number=raw.number, text=raw.text.rstrip())
        if line.text.startswith("#"):
            above.append(line)
            continue
        key, rest = split(line.text)
        if "\t" in line.text:
            _note_tab(line, notes)
        elif key == "user" and rest:
            block = acl.blocks.setdefault(rest, Block(line=line))
            if (said := _description(above)) and not block.description:
                block.description, above = said, []
        elif key:
            _read_rule(line, acl, block, notes)
        lost += above
        above = []
    lost += above
    if lost:
        numbers = ", ".join(str(each.number) for each in lost[:10])
        more = f" and {len(lost) - 10:,} more" if lost[10:] else ""
        what = f"comments are not adopted, but one line above a user (lines {numbers}{more})"
        notes.remark(lost[0], what, "#")
    return acl


def split(text: str) -> tuple[str, str]:
    """Return the first word and the rest; only spaces part them."""
    key, _, rest = text.strip(" ").partition(" ")
    return key, rest.strip()


def _note_tab(line: Line, notes: Notes) -> None:
    what = "holds a tab, which parts no words for Mosquitto"
    words = line.text.split()
    if words[0] == "user" or "deny" in words[:2]:
        notes.error(line, f"{what}; without this line others could do more: put a space there")
    else:
        notes.remark(line, f"{what}; not adopted. Put a space there", _quotable(line))


def _quotable(line: Line) -> str | None:
    """Return what may be shown of a line that is perhaps no rule, but one of the password file."""
    word = re.match(r"\s*([A-Za-z]*)", line.text)
    known = word and word[1] in ("user", "topic", "pattern")
    return None if known or not word else word[1]


_ACCESS: dict[str, Access] = {
    "read": "read",
    "write": "write",
    "readwrite": "readwrite",
    "deny": "deny",
}


def _read_rule(line: Line, acl: HandAcl, block: Block | None, notes: Notes) -> None:
    kind, rest = split(line.text)
    word, filter_ = split(rest)
    if not filter_:
        word, filter_ = "readwrite", word
    if kind not in ("topic", "pattern") or word not in _ACCESS or not filter_:
        notes.error(line, "Mosquitto reads no such line; mend it or take it out", _quotable(line))
        return
    if not _subscribable(filter_):
        notes.error(
            line,
            "'+' and '#' must be levels of their own, '#' the last, and nothing may follow a "
            "filter: Mosquitto reads no such line; mend it",
        )
        return
    rule = HandRule(line=line, access=_ACCESS[word], filter=filter_)
    if kind == "pattern":
        acl.patterns.append(rule)
    elif block:
        block.rules.append(rule)
    else:
        notes.remark(
            line,
            "stands above the first 'user' line, so it is for clients without a login, and there "
            "will be none; not adopted",
        )


def _subscribable(filter_: str) -> bool:
    levels = filter_.split("/")
    return "#" not in levels[:-1] and not any(
        wildcard in level and level != wildcard for level in levels for wildcard in "+#"
    )


def _description(above: list[Line]) -> str:
    """Return what the one comment above a user says, where it is a sentence and no secret."""
    if len(above) != 1:
        return ""
    text = above[0].text.lstrip("#").strip()
    rule = re.match(r"(user|topic|pattern)\s", text)
    # What may be a word and its value, and every word for what nobody may know.
    secret = re.search(r"[:=]|pass|pw|secret|token|\bkeys?\b|\bpin\b|\$[67]\$", text, re.IGNORECASE)
    if rule or secret or not re.search(r"\w\w", text):
        return ""
    try:
        return _Described.model_validate({"description": text}).description
    except ValueError:
        return ""
