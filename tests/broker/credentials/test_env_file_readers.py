"""Env files mean the same to sh, Docker Compose, systemd and python-dotenv.

Their result is compared with the literal text of the file, which is what Docker's --env-file reads:
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
from broker.credentials.env_files import MISREAD, SAFE_PUNCTUATION

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
def test_reader_misreads_exactly_the_characters_of_the_table(readers, name, tmp_path):
    values = {mark: in_all_places(mark) for mark in f" {punctuation}"}
    cases = [(mark, value) for mark, placed in values.items() for value in placed]
    # One file per value, because an open quote includes the lines that follow.
    files = files_of(tmp_path, [f"MQTT_PASSWORD={value}\n" for _, value in cases])

    variables = readers[name](files)

    misread = {
        mark
        for number, (mark, value) in enumerate(cases)
        if variables.get(f"MQTT{number}_PASSWORD") != value
    }
    kind = "sh" if name in SHELLS else name
    assert misread == {mark for mark, kinds in MISREAD.items() if kind in kinds}


# Without shrinking, which would start processes for minutes.
@settings(max_examples=4, phases=(Phase.generate,))
@given(logins=LOGINS)
def test_every_variable_is_read_as_written(readers, tmp_path_factory, logins):
    files = files_of(tmp_path_factory.mktemp("env"), [login.text for login in logins])
    expected = {
        name: value
        for number, login in enumerate(logins)
        for name, value in login.expected(number).items()
    }

    for name, read in readers.items():
        assert read(files) == expected, name


@pytest.mark.parametrize("name", NAMES)
def test_no_combination_of_two_safe_characters_is_syntax(readers, name, tmp_path):
    combinations = [
        text
        for first, second in product(SAFE_PUNCTUATION, repeat=2)
        for text in (f"{first}{second}a", f"a{first}b{second}c", f"a{first}{second}")
    ]
    # Latin, Greek, Cyrillic, Hebrew and Arabic letters: shells use some of their bytes internally.
    letters = [chr(code) for code in range(0x80, 0x800) if chr(code).isprintable()]
    values = [*combinations, *(f"{letter}a{letter}" for letter in letters)]
    lines = [f"MQTT{number}_PASSWORD={value}\n" for number, value in enumerate(values)]
    file = tmp_path / "all.env"
    file.write_text("".join(lines), "utf-8")

    variables = readers[name]([file])

    assert [variables[f"MQTT{number}_PASSWORD"] for number in range(len(values))] == values
