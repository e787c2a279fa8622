"""Env files that any reader reads alike: sh, Docker Compose, systemd and python-dotenv.

What they give is compared with what stands in the file, which is what Docker's --env-file gives:
tests/integration/test_env_files_in_docker.py.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from string import punctuation

import pytest
from env_readers import (
    COMPOSE,
    LOGINS,
    Reader,
    compose,
    files_of,
    in_all_places,
    python_dotenv,
    sh,
    systemd,
)
from hypothesis import Phase, given, settings

from bootstrap import apt
from broker.credentials.env_files import MISREAD, READ_ALIKE

SHELLS = ("dash", "bash", "busybox")
NAMES = (*SHELLS, "compose", "systemd", "python-dotenv")

Read = Callable[[str, Path], Reader]


@pytest.fixture(scope="session")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    program = tmp_path_factory.mktemp("compose") / "compose_env"
    subprocess.run(["go", "-C", COMPOSE, "build", "-o", program, "."], check=True)
    busybox = apt.unpack(("busybox-static",), what="tests") / "bin" / "busybox"
    shells = {name: str(shutil.which(name)) for name in ("dash", "bash")}
    return {
        **{name: sh(shell) for name, shell in shells.items()},
        "busybox": sh(str(busybox), "sh"),
        "compose": compose(program),
        "systemd": systemd,
        "python-dotenv": python_dotenv,
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_misreads_the_characters_of_the_table_and_no_other(readers, name, tmp_path):
    values = {mark: in_all_places(mark) for mark in f" {punctuation}"}
    flat = [(mark, value) for mark, found in values.items() for value in found]
    # A file each: an open quote takes what follows along.
    files = files_of(tmp_path, [f"MQTT_PASSWORD={value}\n" for _, value in flat])

    given = readers[name](files)

    misread = {
        mark
        for number, (mark, value) in enumerate(flat)
        if given.get(f"MQTT{number}_PASSWORD") != value
    }
    kind = "sh" if name in SHELLS else name
    assert misread == {mark for mark, kinds in MISREAD.items() if kind in kinds}


# Without shrinking, which would take minutes of processes: a failure shows one long file.
@settings(max_examples=4, phases=(Phase.generate,))
@given(logins=LOGINS)
def test_every_variable_reads_back_as_it_was_written(readers, tmp_path_factory, logins):
    files = files_of(tmp_path_factory.mktemp("env"), [login.text for login in logins])
    expected = {
        name: value
        for number, login in enumerate(logins)
        for name, value in login.expected(number).items()
    }

    for name, read in readers.items():
        assert read(files) == expected, name


@pytest.mark.parametrize("name", NAMES)
def test_no_two_characters_together_are_syntax(readers, name, tmp_path):
    pairs = [
        text
        for one, other in product(READ_ALIKE, repeat=2)
        for text in (f"{one}{other}a", f"a{one}b{other}c", f"a{one}{other}")
    ]
    # Of Latin, Greek, Cyrillic, Hebrew and Arabic all, in whose bytes a shell has marks of its own.
    letters = [chr(code) for code in range(0x80, 0x800) if chr(code).isprintable()]
    values = [*pairs, *(f"{letter}a{letter}" for letter in letters)]
    lines = [f"MQTT{number}_PASSWORD={value}\n" for number, value in enumerate(values)]
    file = tmp_path / "all.env"
    file.write_text("".join(lines), "utf-8")

    given = readers[name]([file])

    assert [given[f"MQTT{number}_PASSWORD"] for number in range(len(values))] == values
