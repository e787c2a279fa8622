"""Invalid settings stop the preview with one error message, and nothing is changed."""

import re
import socket
from pathlib import Path

import pytest
from site_under_test import STACK

CLEAR_TEXT = "correct horse battery"

pytestmark = pytest.mark.usefixtures("untouched")


def _errors(site, change, **environment):
    """Return the error messages with which a preview fails after *change*, each as one line."""
    with site.edited(change):
        done = site.preview(fails=True, **environment)
    assert "Traceback" not in done.output
    assert "site-packages" not in done.output
    diagnostics = done.diagnostics.partition("error: ")[2].partition("Resources:")[0]
    # `Fix:` is on a line of its own below its error.
    diagnostics = re.sub(r"\n\s*Fix: ", " ", diagnostics)
    lines = [line.strip().removeprefix("error: ") for line in diagnostics.splitlines()]
    # The CLI prints this after every RunError.
    trailer = "an unhandled error occurred: program exited with non-zero exit code: 1"
    return [line for line in lines if line not in ("", trailer)]


def _in_broker(**keys):
    return lambda config: config["broker"].update(keys)


def _user(name, **values):
    return lambda config: config["users"].update({name: values})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_in_broker(adress="x"), ["sentient-mqtt:broker.adress", "Did you mean 'address'?"]),
        (
            _user("lamp", read=["paragon/#/lamp"]),
            ["sentient-mqtt:users.lamp.read[0]", "'#' must be the last level"],
        ),
        (_user("la:mp", read=["#"]), ["users.la:mp", "a user name is"]),
        (_in_broker(image="eclipse-mosquitto"), ["broker.image", "has no tag"]),
        (
            lambda config: config["broker"]["listeners"]["mqtt"].update(port="1883"),
            ["broker.listeners.mqtt.port", "'1883'", "whole number"],
        ),
        (lambda config: config["users"].clear(), ["users", "no user is declared"]),
    ],
    ids=["unknown key", "filter", "user name", "image", "type", "no user"],
)
def test_invalid_setting_is_one_error_with_path_value_and_rule(site, change, words):
    (line,) = _errors(site, change)
    for word in words:
        assert word in line


def test_two_invalid_settings_are_two_errors(site):
    def change(config):
        config["broker"]["container"] = "-"
        config["users"]["lamp"] = {"write": ["a+"]}

    assert len(_errors(site, change)) == 2


def test_duplicate_user_name_is_an_error(site):
    text = site.stack_file.read_text()
    twice = text.replace("    admin:\n", "    admin: {}\n    admin:\n", 1)
    assert twice != text
    site.stack_file.write_text(twice)
    try:
        output = site.preview(fails=True).output
    finally:
        site.stack_file.write_text(text)
    assert "admin" in output
    assert "already" in output


def test_port_in_use_is_an_error(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def change(config):
            config["broker"]["listeners"]["mqtt"]["port"] = port

        (line,) = _errors(site, change)
    assert f"broker.listeners.mqtt.port: {port}: this port is in use on the host" in line


def test_docker_that_does_not_answer_is_an_error(site, tmp_path):
    (line,) = _errors(site, _in_broker(host=f"unix://{tmp_path}/none.sock"))
    assert f"host unix://{tmp_path}/none.sock: Docker doesn't answer" in line


def test_docker_context_in_the_environment_is_an_error(site):
    (line,) = _errors(site, lambda _: None, DOCKER_CONTEXT="elsewhere")
    assert "DOCKER_CONTEXT is set to 'elsewhere'" in line
    assert "unset DOCKER_CONTEXT" in line


def test_file_in_place_of_a_folder_is_an_error_and_is_kept(site):
    file = site.root / "opt" / "file"
    file.write_text("mine")

    def change(config):
        config["broker"]["folders"]["config"] = f"{file}/config"

    (line,) = _errors(site, change)
    assert f"broker.folders.config: '{file}/config'" in line
    assert "is not a folder" in line
    assert file.read_text() == "mine"
    file.unlink()


def test_read_only_folder_is_an_error(site, mount):
    read_only = mount(site.root / "read-only", "ro")

    def change(config):
        config["broker"]["folders"]["log"] = f"{read_only}/log"

    (line,) = _errors(site, change)
    assert f"broker.folders.log: '{read_only}/log'" in line
    assert "can't be written to" in line


def test_foreign_container_of_that_name_is_an_error(site, docker, fallback_image):
    docker("create", "--name", f"{site.container}-foreign", fallback_image("trixie"))
    try:
        (line,) = _errors(site, _in_broker(container=f"{site.container}-foreign"))
        assert f"broker.container: '{site.container}-foreign'" in line
        assert "this stack did not create it" in line
    finally:
        docker("rm", f"{site.container}-foreign")


def test_foreign_env_file_is_an_error_and_is_kept(site):
    path = Path(f"{site.root}/opt/sentient/.env")
    path.write_text("PASSWORD=of-somebody-else\n")
    try:
        (line,) = _errors(site, _in_broker(envFiles=[{"path": str(path), "user": "admin"}]))
        assert f"broker.envFiles[0].path: '{path}'" in line
        assert "was not written by this program" in line
        assert "of-somebody-else" not in line
        assert path.read_text() == "PASSWORD=of-somebody-else\n"
    finally:
        path.unlink()


def test_secret_in_clear_is_an_error_until_the_printed_command_encrypts_it(site):
    """First alone, then beside an encrypted one, which makes the whole object a secret."""

    def supply(user, text):
        words = ("config", "set", "--stack", STACK, "--secret", "--path")
        site.pulumi(*words, f'sentient-mqtt:passwords["{user}"]', stdin=text)

    with site.edited(lambda config: config.update(passwords={"lamp": CLEAR_TEXT})):
        (line,) = _errors(site, lambda _: None)
        assert "sentient-mqtt:passwords.lamp: is in plain text" in line
        assert "repository's history" in line
        assert """pulumi config set --secret --path 'sentient-mqtt:passwords["lamp"]'""" in line
        assert CLEAR_TEXT not in line
        supply("lamp", "another password")
        site.preview()
        (line,) = _errors(site, lambda config: config["passwords"].update(door=CLEAR_TEXT))
        assert "sentient-mqtt:passwords.door: is in plain text" in line
        assert CLEAR_TEXT not in line


def test_up_reports_the_same_errors(site):
    with site.edited(_in_broker(container="-")):
        done = site.up(fails=True)
    assert "sentient-mqtt:broker.container: '-'" in done.output
