"""Script calls arrive byte for byte, and a truncated stdin changes nothing."""

import os
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from host_scripts import host_scripts
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.host.script_calls import ScriptCall, render_stdin

FILES = host_scripts("lib/put_files.sh")
SHELLS = ("sh", "bash", "busybox")
ECHO = """\
say() { printf '%s|' "$@"; cat; }
finish() { :; }
"""

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(
    lambda text: text + "\n"
)
WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0|"), min_size=1, max_size=20
)


def received(stdin, *words, shell="sh"):
    argv = [shell, "sh", "-s", *words] if shell == "busybox" else [shell, "-s", *words]
    return subprocess.run(argv, input=stdin.encode(), capture_output=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "text",
    [
        "plain\n",
        "\n",
        "$(touch /tmp/owned) `id` $HOME ${HOME} \\$x \\\\ \\\n",
        "it's \"quoted\" '' \"\n",
        "EOF\nEOT\nEND\nfinish\nexit 1\n",
        "# no comment\n\n\n  spaces  \t\n",
        "\x01\x1b[31m\x7f\r\n",
        "é ü 日本 \N{PILE OF POO} \u0401\u0408\u0081\u0088\n",
        "no end" * 10_000 + "\n",
    ],
    ids=repr,
)
def test_text_arrives_byte_for_byte(shell, text):
    out = received(render_stdin(ECHO, [ScriptCall(words=("say", "x"), text=text)]), shell=shell)

    assert out == b"x|" + text.encode()


def test_text_with_the_terminator_of_another_text_arrives():
    other = "harmless\n"
    end = f"END_{sha256(other.encode()).hexdigest()[:24]}"
    text = f"{end}\nsay owned\n"

    stdin = render_stdin(
        ECHO,
        [ScriptCall(words=("say", "a"), text=text), ScriptCall(words=("say", "b"), text=other)],
    )

    assert received(stdin) == f"a|{text}b|{other}".encode()


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_any_text_arrives(text):
    assert (
        received(render_stdin(ECHO, [ScriptCall(words=("say", "x"), text=text)]))
        == b"x|" + text.encode()
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4))
def test_any_words_arrive(words):
    out = received(render_stdin(ECHO, [ScriptCall(words=("say", *words), text="\n")]))

    assert out == "".join(f"{word}|" for word in words).encode() + b"\n"


@pytest.mark.parametrize("text", ["", "no line break", "a\0b\n"])
def test_text_unfit_for_a_here_document_is_rejected(text):
    with pytest.raises(ValueError, match="end with a newline and contain no NUL"):
        render_stdin(ECHO, [ScriptCall(words=("put", "/x"), text=text)])


def test_stdin_ends_with_finish():
    assert render_stdin(ECHO, []).endswith("}\nfinish\n")


class Folder:
    """A folder with existing files, and a stdin that replaces them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.new = {"mosquitto.conf": "new\nconf\n", "passwd": "new:hash\n", "fresh": "x\n"}
        path.mkdir()
        for name in ("mosquitto.conf", "passwd"):
            (path / name).write_text(f"old {name}\n")
        uid, gid = str(os.getuid()), str(os.getgid())
        calls = [
            ScriptCall(words=("put", str(path / name), "0600", uid, gid), text=text)
            for name, text in self.new.items()
        ]
        self.stdin = render_stdin(FILES, calls).encode()
        self.calls_begin = len(render_stdin(FILES, [])) - len("finish\n")

    def now(self):
        return {file.name: file.read_text() for file in self.path.iterdir()}

    def deliver(self, length=None):
        # `sync` would flush the disks of this machine thousands of times.
        stdin = self.stdin[:length].replace(b"\n  sync\n", b"\n  :\n")
        return subprocess.run(
            ["sh", "-s", "apply"], input=stdin, capture_output=True, check=False
        ).returncode


@pytest.fixture
def folder():
    # A short path, because the test truncates stdin at every byte.
    with tempfile.TemporaryDirectory(prefix="", dir="/tmp") as parent:
        yield Folder(Path(parent) / "c")


def test_complete_stdin_replaces_every_file(folder):
    assert folder.deliver() == 0
    assert folder.now() == folder.new


def places_to_cut(text, start, end):
    """Return the places beside each line's end and each space, and every fifth of the others."""
    beside = {
        place + shift
        for place in range(start, end)
        if text[place : place + 1] in (b"\n", b" ")
        for shift in (0, 1)
    }
    return sorted({*beside, *range(start, end, 5), end} & {*range(start, end + 1)})


def test_truncated_stdin_changes_nothing(folder):
    before = folder.now()
    last = len(folder.stdin) - len(b"h\n")
    # Many places in the calls; of the script, which only defines functions, every 197th byte.
    calls = places_to_cut(folder.stdin, folder.calls_begin, last)
    cuts = [*range(0, folder.calls_begin, 197), *calls]

    assert folder.stdin[:last].endswith(b"\nfinis")
    for length in cuts:
        folder.deliver(length)
        assert folder.now() == before, f"cut after {length} bytes"
    assert folder.deliver() == 0
    assert folder.now() == folder.new
