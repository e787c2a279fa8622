"""Parse an existing password file and ACL file as Mosquitto does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.access.rules import Access
from broker.credentials.password_hashes import check_hash
from broker.mosquitto.release_line import IMAGE_OF_2_1, ReleaseLine
from broker.settings.base_model import OneLine, SettingsModel
from broker.settings.validators import check_user_name

BLANKS = " \t\n\v\f\r"
"""What C's isspace() calls blank; Mosquitto keeps other blanks, such as a no-break space."""
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_LONGEST_QUOTE = 80


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of one of the files."""

    file: str
    number: int
    text: str

    def annotate(self, message: str, quoted: str | None = None) -> str:
        """Return *message* after file, line and text; *quoted* replaces text that may be secret."""
        shown = self.text.strip(BLANKS) if quoted is None else quoted
        shown = shown if len(shown) <= _LONGEST_QUOTE else f"{shown[:_LONGEST_QUOTE]}..."
        return f"{self.file}:{self.number}: {shown!r}: {message}"


@dataclass(kw_only=True)
class Notes:
    """The remarks and errors about the files."""

    remarks: list[str] = field(default_factory=list)
    """What was assumed, or what a stack file cannot express."""
    errors: list[str] = field(default_factory=list)
    """What must be corrected before the files can be adopted."""

    def clear(self) -> None:
        """Forget all, before the files are read once more."""
        self.remarks.clear()
        self.errors.clear()

    def remark(self, line: Line, message: str, quoted: str | None = None) -> None:
        self.remarks.append(line.annotate(message, quoted))

    def error(self, line: Line, message: str, quoted: str | None = None) -> None:
        self.errors.append(line.annotate(message, quoted))


def lines_of(file: str, text: str, notes: Notes) -> Iterator[Line]:
    """Yield the lines as Mosquitto reads them: only a line feed ends a line."""
    plain = text.removeprefix(BYTE_ORDER_MARK)
    for number, content in enumerate(plain.split("\n"), start=1):
        line = Line(file=file, number=number, text=content.rstrip("\r"))
        if number == 1 and plain != text:
            notes.remark(
                line, "begins with a byte order mark, which Mosquitto doesn't know; removed", ""
            )
        if "\0" in content:
            notes.error(line, "contains a NUL, at which Mosquitto stops reading; remove it", "")
        yield line


@dataclass(frozen=True, kw_only=True)
class Login:
    """A line of the password file."""

    line: Line
    hash: str = field(repr=False)
    """Empty if Mosquitto refuses the login, because its password is in plain text."""
    plain: str = field(default="", repr=False)
    """The password if the file contains it in plain text; else empty."""


def read_passwords(
    file: str, text: str, notes: Notes, release_line: ReleaseLine = "2.0"
) -> dict[str, Login]:
    """
    Return the logins by name.

    Notes quote only the user name of a line.
    """
    logins: dict[str, Login] = {}
    for line in lines_of(file, text, notes):
        marked = line.number == 1 and text.startswith(BYTE_ORDER_MARK)
        if line.text.startswith("#"):
            notes.remark(line, "a comment, or a login that is commented out; not adopted", "#")
        elif marked and ":" in line.text:
            notes.error(
                line,
                "the byte order mark at the start of the file belongs to this user's name, so "
                "Mosquitto refuses the login; remove the mark if it is to work",
                "",
            )
        elif ":" in line.text:
            _read_login(line, logins, notes, release_line)
        elif line.text.strip(BLANKS):
            notes.remark(line, "has no ':', so Mosquitto skips it; not adopted", "")
    return logins


def _read_login(
    line: Line, logins: dict[str, Login], notes: Notes, release_line: ReleaseLine
) -> None:
    # As strtok(3) splits it: several colons in a row are one separator.
    name, *others = [field.strip(BLANKS) for field in line.text.split(":") if field] or [""]
    # Text with a '$' may be a hash without a user name.
    quoted = "" if "$" in name or line.text.startswith(":") else name
    try:
        check_user_name(quoted)
    except ValueError as invalid:
        notes.error(
            line, f"{invalid}; change the name here, in the ACL file and in the clients", quoted
        )
        return
    if name in logins:
        number = logins[name].line.number
        notes.error(line, f"line {number} has this login, too; remove one of them", name)
    elif len(others) > 1:
        notes.error(line, "Mosquitto ignores text after a second ':'; remove it", name)
    elif not others or not others[0]:
        notes.error(line, "has no password; set one, or remove the line", name)
    elif "$" in others[0]:
        try:
            logins[name] = Login(line=line, hash=check_hash(others[0], release_line))
        except ValueError as invalid:
            option = f". If the broker is 2.1, use --image {IMAGE_OF_2_1}"
            notes.error(
                line,
                f"{invalid} (or remove the line: a password is generated)"
                f"{option if IMAGE_OF_2_1 in str(invalid) else ''}",
                name,
            )
        else:
            if others[0].startswith("$argon2id$"):
                notes.remark(
                    line,
                    "its password is hashed with Argon2id: 2.1 doesn't start if the image was "
                    "built without it",
                    name,
                )
    else:
        logins[name] = Login(line=line, hash="", plain=others[0])
        notes.remark(
            line,
            "its password is in plain text, so Mosquitto refuses this login. It gets a generated "
            "password instead (./brokerctl credentials), because everyone who could read the file "
            "knows this one",
            name,
        )


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """A ``topic`` or ``pattern`` line."""

    line: Line
    access: Access
    filter: str


@dataclass(kw_only=True)
class UserBlock:
    """The rules of a user, from all blocks of that user."""

    line: Line
    description: str = ""
    rules: list[AclRule] = field(default_factory=list)


@dataclass(kw_only=True)
class AclFile:
    """An ACL file."""

    blocks: dict[str, UserBlock] = field(default_factory=dict)
    patterns: list[AclRule] = field(default_factory=list)


class _Described(SettingsModel):
    description: OneLine


def read_acl(file: str, text: str, notes: Notes) -> AclFile:
    """Return the rules by user, and the patterns for all users."""
    acl = AclFile()
    block: UserBlock | None = None
    above: list[Line] = []
    unused: list[Line] = []
    for raw in lines_of(file, text, notes):
        line = Line(file=file, number=raw.number, text=raw.text.rstrip(BLANKS))
        if line.text.startswith("#"):
            above.append(line)
            continue
        key, rest = split(line.text)
        if "\t" in line.text:
            _note_tab(line, notes)
        elif key == "user" and rest:
            block = acl.blocks.setdefault(rest, UserBlock(line=line))
            if (description := _description(above)) and not block.description:
                block.description, above = description, []
        elif key:
            _read_rule(line, acl, block, notes)
        unused += above
        above = []
    unused += above
    if unused:
        numbers = ", ".join(str(line.number) for line in unused[:10])
        more = f" and {len(unused) - 10:,} more" if unused[10:] else ""
        message = (
            "comments are not adopted, except a single line above a user "
            f"(not adopted: lines {numbers}{more})"
        )
        notes.remark(unused[0], message, "#")
    return acl


def split(text: str) -> tuple[str, str]:
    """Return the first word and the rest; only spaces separate them."""
    key, _, rest = text.strip(" ").partition(" ")
    return key, rest.strip(BLANKS)


def _note_tab(line: Line, notes: Notes) -> None:
    message = "contains a tab, which Mosquitto does not treat as a separator"
    words = line.text.split()
    if words[0] == "user" or "deny" in words[:2]:
        notes.error(
            line, f"{message}; without this line other users would get more rights: use a space"
        )
    else:
        notes.remark(line, f"{message}; not adopted. Use a space instead", _quotable(line))


def _quotable(line: Line) -> str | None:
    """Return the quotable text of a line that may belong to a password file; None for all."""
    word = re.match(r"\s*([A-Za-z]*)", line.text)
    known = word and word[1] in ("user", "topic", "pattern")
    return None if known or not word else word[1]


_ACCESS: dict[str, Access] = {
    "read": "read",
    "write": "write",
    "readwrite": "readwrite",
    "deny": "deny",
}


def _read_rule(line: Line, acl: AclFile, block: UserBlock | None, notes: Notes) -> None:
    kind, rest = split(line.text)
    word, filter_ = split(rest)
    if not filter_:
        word, filter_ = "readwrite", word
    if kind not in ("topic", "pattern") or word not in _ACCESS or not filter_:
        notes.error(line, "Mosquitto rejects this line; correct it or remove it", _quotable(line))
        return
    if not _subscribable(filter_):
        notes.error(
            line,
            "Mosquitto rejects this line: '+' and '#' must be whole levels, '#' must be the last "
            "level, and nothing may follow a filter; correct it",
        )
        return
    rule = AclRule(line=line, access=_ACCESS[word], filter=filter_)
    if kind == "pattern":
        acl.patterns.append(rule)
    elif block:
        block.rules.append(rule)
    else:
        notes.remark(
            line,
            "is above the first 'user' line, so it applies to clients without a login, which are "
            "not allowed here; not adopted",
        )


def _subscribable(filter_: str) -> bool:
    levels = filter_.split("/")
    return "#" not in levels[:-1] and not any(
        wildcard in level and level != wildcard for level in levels for wildcard in "+#"
    )


def _description(above: list[Line]) -> str:
    """Return the single comment above a user if it looks like a sentence and like no secret."""
    if len(above) != 1:
        return ""
    text = above[0].text.lstrip("#").strip()
    rule = re.match(r"(user|topic|pattern)\s", text)
    # A key with a value, or a word for a secret.
    secret = re.search(r"[:=]|pass|pw|secret|token|\bkeys?\b|\bpin\b|\$[67]\$", text, re.IGNORECASE)
    if rule or secret or not re.search(r"\w\w", text):
        return ""
    try:
        return _Described.model_validate({"description": text}).description
    except ValueError:
        return ""
