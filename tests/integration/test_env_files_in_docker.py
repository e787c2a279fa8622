"""`docker run --env-file` reads everything after the first "=" as the value."""

from string import punctuation

import pytest
from env_readers import LOGINS, files_of, in_all_places, of_environment
from hypothesis import Phase, given, settings

from broker.credentials.env_files import MISREAD


@pytest.fixture(scope="module")
def read(docker, fallback_image):
    image = fallback_image("trixie")

    def read(files):
        named = [word for file in files for word in ("--env-file", str(file))]
        words = ("run", "--rm", "--network", "none", *named, "--entrypoint", "/usr/bin/env")
        return of_environment(docker(*words, image, "-0").encode())

    return read


def test_docker_reads_every_character_literally(read, tmp_path):
    values = [value for mark in f" {punctuation}" for value in in_all_places(mark)]

    given = read(files_of(tmp_path, [f"MQTT_PASSWORD={value}\n" for value in values]))

    assert [given[f"MQTT{number}_PASSWORD"] for number in range(len(values))] == values
    # Docker misreads no character, so none can be quoted for the other readers.
    assert not [mark for mark, readers in MISREAD.items() if "docker" in readers]


@settings(max_examples=2, phases=(Phase.generate,))
@given(logins=LOGINS)
def test_variables_are_read_as_written(read, tmp_path_factory, logins):
    files = files_of(tmp_path_factory.mktemp("env"), [login.text for login in logins])

    given = read(files)

    assert given == {
        name: value
        for number, login in enumerate(logins)
        for name, value in login.expected(number).items()
    }
