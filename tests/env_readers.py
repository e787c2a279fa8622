"""Programs and libraries that read env files; each reads many files in one process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from string import ascii_letters, digits
from typing import NamedTuple

from declared import ROOT, smallest
from dotenv import dotenv_values
from hypothesis import strategies as st

from broker.credentials.env_files import MISREAD, SAFE_PUNCTUATION, env_file_mark, render_env
from broker.settings.stack_settings import Settings
from components.credentials import SPECIAL

Values = dict[str, str]
Reader = Callable[[Sequence[Path]], Values]

COMPOSE = ROOT / "tests" / "compose_env"

# Without the environment of the test, all variables are from the files.
NOTHING: Mapping[str, str] = {"PATH": "/nowhere", "LC_ALL": "C.UTF-8"}

# As in docs/reference/env-files.md. Each file in its own process, which may fail.
_SH = 'for file; do (set -a; . "$file" </dev/null >/dev/null 2>&1; exec /usr/bin/env -0); done'

# The two functions that systemd calls for EnvironmentFile=, in Debian's libsystemd-shared.
_SYSTEMD = """
import ctypes, glob, itertools, sys
library = ctypes.CDLL(max(glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so")))
library.strv_env_clean_with_callback.restype = ctypes.POINTER(ctypes.c_char_p)
for path in sys.argv[1:]:
    found = ctypes.POINTER(ctypes.c_char_p)()
    if library.load_env_file(None, path.encode(), ctypes.byref(found)) < 0 or not found:
        continue
    found = library.strv_env_clean_with_callback(found, None, None)
    for index in itertools.takewhile(lambda index: found[index], itertools.count()):
        sys.stdout.buffer.write(found[index] + b"\\0")
"""


class Login(NamedTuple):
    """The values of an env file."""

    address: str
    user: str
    password: str
    ca: str | None

    @property
    def text(self) -> str:
        broker = Settings.parse(smallest(address=self.address)).broker
        (listener,) = broker.listeners.values()
        made = render_env(broker, listener, self.user, self.password, ca=self.ca)
        return f"{env_file_mark('prod')}\n{made}"

    def expected(self, number: int) -> Values:
        """Return the variables that a reader must return for the file with this number."""
        dialled = f"[{self.address}]" if ":" in self.address else self.address
        values = {
            "URL": f"mqtt://{dialled}:1883",
            "HOST": self.address,
            "PORT": "1883",
            "USERNAME": self.user,
            "PASSWORD": self.password,
            **({"CA": self.ca} if self.ca else {}),
        }
        return {f"MQTT{number}_{name}": value for name, value in values.items()}


_SUPPLIED = st.text(
    st.one_of(
        st.sampled_from(SAFE_PUNCTUATION),
        st.characters(exclude_categories=["C", "Z"], exclude_characters=MISREAD),
    ),
    min_size=16,
)
_GENERATED = st.text(ascii_letters + digits + SPECIAL, min_size=16, max_size=128)
LOGINS = st.lists(
    st.builds(
        Login,
        st.sampled_from(["192.168.2.3", "broker.example.org", "fd00::5", "::1"]),
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", fullmatch=True),
        st.one_of(_SUPPLIED, _GENERATED),
        st.sampled_from([None, "/etc/sentient-mqtt/mosquitto-test/ca.pem"]),
    ),
    min_size=20,
    max_size=60,
)
"""Many logins per process, because the process takes longer than the files."""

# Positions with a possible meaning: "~" before a name is a folder, "$" before braces a variable.
PLACES = (
    *("{0}root/x", "Aa0{0}Zz9", "Aa0Zz9{0}", "Aa{0}{0}Zz", "{0}Aa{0}Zz{0}"),
    *("Aa:{0}root", "={0}Zz", "Aa{0}{{HOME}}"),
)


def in_all_places(character: str) -> list[str]:
    return [place.format(character) for place in PLACES]


def files_of(folder: Path, texts: Sequence[str]) -> list[Path]:
    """
    Write env files with different variable names, so that one process can read them all.

    ``MQTT_PASSWORD`` of the eighth file is ``MQTT7_PASSWORD``.
    """
    files: list[Path] = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.env")
        files[-1].write_text(re.sub("^MQTT_", f"MQTT{number}_", text, flags=re.MULTILINE), "utf-8")
    return files


def sh(*shell: str) -> Reader:
    def read(files: Sequence[Path]) -> Values:
        # A misread file may write files: give it its own working folder.
        folder = files[0].parent / "written"
        folder.mkdir(exist_ok=True)
        argv = [*shell, "-c", _SH, "sh", *map(str, files)]
        # The exit code is that of the last file only, so it is ignored.
        done = subprocess.run(argv, capture_output=True, check=False, env=NOTHING, cwd=folder)
        return of_environment(done.stdout)

    return read


def compose(program: Path) -> Reader:
    def read(files: Sequence[Path]) -> Values:
        found: Values = json.loads(_run(program, *files))
        return found

    return read


def systemd(files: Sequence[Path]) -> Values:
    return of_environment(_run(sys.executable, "-c", _SYSTEMD, *files))


def python_dotenv(files: Sequence[Path]) -> Values:
    read = partial(dotenv_values, encoding="utf-8")
    found = {name: value for file in files for name, value in read(file).items()}
    return {name: value for name, value in found.items() if value is not None}


def of_environment(printed: bytes) -> Values:
    """Return the MQTT variables in the output of ``env -0``."""
    variables = (line.partition(b"=") for line in printed.split(b"\0"))
    return {
        name.decode(): value.decode("utf-8", "replace")
        for name, _, value in variables
        if re.match(rb"MQTT\d+_", name)
    }


def _run(*argv: str | Path) -> bytes:
    return subprocess.run(argv, capture_output=True, check=True, env=NOTHING).stdout
