"""What can't come true is refused at the preview: one clear line, and nothing is touched."""

import re
import socket
from pathlib import Path

import pytest
from site_under_test import STACK

IN_CLEAR = "correct horse battery"

pytestmark = pytest.mark.usefixtures("untouched")


def _refused(site, change, **environment):
    """Return the lines of the error that a preview ends with after *change*."""
    with site.edited(change):
        done = site.preview(fails=True, **environment)
    assert "Traceback" not in done.output
    assert "site-packages" not in done.output
    diagnostics = done.diagnostics.partition("error: ")[2].partition("Resources:")[0]
    # The way out stands on a line of its own, below what it is for.
    diagnostics = re.sub(r"\n\s*Fix: ", " ", diagnostics)
    lines = [line.strip().removeprefix("error: ") for line in diagnostics.splitlines()]
    # The CLI's own last word on every program that ended with a RunError.
    last = "an unhandled error occurred: program exited with non-zero exit code: 1"
    return [line for line in lines if line not in ("", last)]


def _in_broker(**keys):
    return lambda config: config["broker"].update(keys)


def _user(name, **says):
    return lambda config: config["users"].update({name: says})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_in_broker(adress="x"), ["sentient-mqtt:broker.adress", "Did you mean 'address'?"]),
        (
            _user("lamp", read=["paragon/#/lamp"]),
            ["sentient-mqtt:users.lamp.read[0]", "'#' must be the last level"],
        ),
        (_user("la:mp", read=["#"]), ["users.la:mp", "a user name is"]),
        (_in_broker(image="eclipse-mosquitto"), ["broker.image", "names no tag"]),
        (
            lambda config: config["broker"]["listeners"]["mqtt"].update(port="1883"),
            ["broker.listeners.mqtt.port", "'1883'", "whole number"],
        ),
        (lambda config: config["users"].clear(), ["users", "at least one user"]),
    ],
    ids=["unknown key", "filter", "user name", "image", "type", "nobody"],
)
def test_a_setting_that_breaks_a_rule_is_one_line_with_path_value_and_rule(site, change, words):
    (line,) = _refused(site, change)
    for word in words:
        assert word in line


def test_two_broken_rules_are_two_lines(site):
    def change(config):
        config["broker"]["container"] = "-"
        config["users"]["lamp"] = {"write": ["a+"]}

    assert len(_refused(site, change)) == 2


def test_a_user_name_that_stands_twice_in_the_file(site):
    text = site.stack_file.read_text()
    twice = text.replace("    admin:\n", "    admin: {}\n    admin:\n", 1)
    assert twice != text
    site.stack_file.write_text(twice)
    try:
        said = site.preview(fails=True).output
    finally:
        site.stack_file.write_text(text)
    assert "admin" in said
    assert "already" in said


def test_a_port_that_another_program_has(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def change(config):
            config["broker"]["listeners"]["mqtt"]["port"] = port

        (line,) = _refused(site, change)
    assert f"broker.listeners.mqtt.port: {port}: this port is in use on the host" in line


def test_a_docker_that_does_not_answer(site, tmp_path):
    (line,) = _refused(site, _in_broker(host=f"unix://{tmp_path}/none.sock"))
    assert f"host unix://{tmp_path}/none.sock: Docker doesn't answer" in line


def test_a_docker_context_that_would_lead_elsewhere(site):
    (line,) = _refused(site, lambda _: None, DOCKER_CONTEXT="elsewhere")
    assert "DOCKER_CONTEXT is set to 'elsewhere'" in line
    assert "unset DOCKER_CONTEXT" in line


def test_a_file_where_a_folder_should_be(site):
    file = site.root / "opt" / "file"
    file.write_text("mine")

    def change(config):
        config["broker"]["folders"]["config"] = f"{file}/config"

    (line,) = _refused(site, change)
    assert f"broker.folders.config: '{file}/config'" in line
    assert "is not a folder" in line
    assert file.read_text() == "mine"
    file.unlink()


def test_a_folder_that_cannot_be_written_to(site, mount):
    read_only = mount(site.root / "read-only", "ro")

    def change(config):
        config["broker"]["folders"]["log"] = f"{read_only}/log"

    (line,) = _refused(site, change)
    assert f"broker.folders.log: '{read_only}/log'" in line
    assert "can't be written to" in line


def test_a_container_of_that_name_that_somebody_else_made(site, docker, stand_in):
    docker("create", "--name", f"{site.container}-theirs", stand_in("trixie"))
    try:
        (line,) = _refused(site, _in_broker(container=f"{site.container}-theirs"))
        assert f"broker.container: '{site.container}-theirs'" in line
        assert "this stack did not create it" in line
    finally:
        docker("rm", f"{site.container}-theirs")


def test_an_env_file_that_somebody_else_wrote(site):
    path = Path(f"{site.root}/opt/sentient/.env")
    path.write_text("PASSWORD=of-somebody-else\n")
    try:
        (line,) = _refused(site, _in_broker(envFiles=[{"path": str(path), "user": "admin"}]))
        assert f"broker.envFiles[0].path: '{path}'" in line
        assert "was not written by this program" in line
        assert "of-somebody-else" not in line
        assert path.read_text() == "PASSWORD=of-somebody-else\n"
    finally:
        path.unlink()


def test_a_secret_in_clear_until_it_is_replaced_by_the_command_that_is_told(site):
    """Alone, then beside one that is encrypted, which makes a secret of the whole object."""

    def supply(user, text):
        words = ("config", "set", "--stack", STACK, "--secret", "--path")
        site.pulumi(*words, f'sentient-mqtt:passwords["{user}"]', given=text)

    with site.edited(lambda config: config.update(passwords={"lamp": IN_CLEAR})):
        (line,) = _refused(site, lambda _: None)
        assert "sentient-mqtt:passwords.lamp: is in clear" in line
        assert "repository's history" in line
        assert """pulumi config set --secret --path 'sentient-mqtt:passwords["lamp"]'""" in line
        assert IN_CLEAR not in line
        supply("lamp", "another password")
        site.preview()
        (line,) = _refused(site, lambda config: config["passwords"].update(door=IN_CLEAR))
        assert "sentient-mqtt:passwords.door: is in clear" in line
        assert IN_CLEAR not in line


def test_an_up_refuses_the_same(site):
    with site.edited(_in_broker(container="-")):
        done = site.up(fails=True)
    assert "sentient-mqtt:broker.container: '-'" in done.output
