"""Pulumi runs with this checkout's Python and leaves the stack file as it was."""

import json
import os
import sys
from hashlib import sha1
from pathlib import Path

import pytest

from bootstrap.backend import Backend
from cli.pulumi import Pulumi
from cli.refusals import Refusal
from cli.stack import ROOT, Stack

SALT = "encryptionsalt: v1:fresh:v1:salt="


@pytest.fixture
def pulumi(desk):
    return lambda: Pulumi.ready(Stack.read("test"))


def writes_a_salt(desk):
    desk.pulumi(f"echo '{SALT}' >>{desk.file}")


def test_a_salt_of_a_passphrase_that_was_made_up_here_does_not_stay(desk, pulumi):
    writes_a_salt(desk)
    before = desk.file.read_text()

    pulumi().select()
    assert desk.file.read_text() == before
    pulumi().run("up")
    assert desk.file.read_text() == before


def test_it_does_not_stay_either_where_pulumi_fails(desk, pulumi):
    desk.pulumi(f"echo '{SALT}' >>{desk.file}; exit 1")
    before = desk.file.read_text()

    with pytest.raises(Refusal):
        pulumi().run("up")
    assert desk.file.read_text() == before


def test_a_salt_that_was_there_is_kept(desk, pulumi):
    desk.write(below="encryptionsalt: v1:team\n")
    writes_a_salt(desk)

    pulumi().select()

    assert "encryptionsalt: v1:team\n" in desk.file.read_text()
    assert SALT in desk.file.read_text()


def test_a_salt_stays_where_values_are_encrypted_with_it(desk, pulumi):
    desk.pulumi(f"printf '%s\\n' '{SALT}' '  x: {{secure: v1:abc}}' >>{desk.file}")

    pulumi().select()

    assert SALT in desk.file.read_text()


def test_a_salt_of_a_passphrase_that_a_team_shares_stays(desk, pulumi):
    desk.backend = Backend(local_passphrase=False)
    writes_a_salt(desk)

    pulumi().select()

    assert SALT in desk.file.read_text()


def test_what_else_pulumi_writes_into_the_file_stays(desk, pulumi):
    desk.pulumi(f"printf '%s\\n' '# mine' '{SALT}' 'environment: [x]' >>{desk.file}")
    before = desk.file.read_text()

    pulumi().select()

    assert desk.file.read_text() == before + "# mine\nenvironment: [x]\n"


def test_the_first_python_on_path_is_this_one_then_comes_the_engine(desk, pulumi):
    desk.pulumi('echo "$PATH"')

    first, second, *_ = pulumi().ask("version").split(os.pathsep)

    assert Path(first) == Path(sys.executable).parent
    assert Path(second) == desk.bin


def test_a_failure_is_told_without_a_traceback_in_its_own_words(desk, pulumi):
    desk.pulumi("echo 'error: no such backend' >&2; exit 1")

    with pytest.raises(Refusal, match=r"^pulumi stack select --create test: error: no such back"):
        pulumi().select()


def test_a_failure_in_front_of_the_person_is_not_told_twice(desk, pulumi):
    desk.pulumi("exit 1")

    with pytest.raises(Refusal, match=r"^pulumi up failed; its message is above\.$"):
        pulumi().run("up")
    assert pulumi().run("up", check=False) == 1


def test_nobody_is_asked_where_nobody_is(desk, pulumi):
    pulumi().run("up")

    assert (desk.calls_file.read_text()) == "--non-interactive up\n"


def test_outputs_are_asked_for_in_clear_and_never_shown(desk, pulumi, capfd):
    desk.outputs = {"credentials": {"sensor": {"password": "s3cret"}}}
    desk.pulumi("exit 0")

    assert pulumi().outputs() == desk.outputs
    assert "s3cret" not in "".join(capfd.readouterr())


def test_a_message_in_another_encoding_is_told(desk, pulumi):
    desk.pulumi(r"printf 'caf\351\n' >&2; exit 1")

    with pytest.raises(Refusal, match="caf\ufffd"):
        pulumi().ask("stack")


def selected(desk, monkeypatch, name):
    """Have the workspace say that stack *name* is the current one of the desk's backend."""
    monkeypatch.setenv("PULUMI_HOME", str(desk.folder))
    digest = sha1(str(ROOT / "Pulumi.yaml").encode(), usedforsecurity=False).hexdigest()
    file = desk.folder / "workspaces" / f"sentient-mqtt-{digest}-workspace.json"
    file.parent.mkdir()
    backend = os.environ["PULUMI_BACKEND_URL"]
    file.write_text(json.dumps({"stacks": {backend: f"organization/sentient-mqtt/{name}"}}))


@pytest.mark.parametrize(("name", "calls"), [("test", 0), ("test2", 1), ("prod", 1)])
def test_a_stack_that_is_the_current_one_is_not_selected_again(
    desk, pulumi, monkeypatch, name, calls
):
    selected(desk, monkeypatch, name)
    pulumi().select()
    assert len(desk.calls()) == calls


def test_a_current_stack_without_a_state_is_made(desk, pulumi, monkeypatch):
    selected(desk, monkeypatch, "test")
    desk.state_file.unlink()
    pulumi().select()
    assert desk.calls() == ["stack select --create test"]
