"""Pulumi runs with this checkout's Python and does not change the stack file."""

import json
import os
import sys
from hashlib import sha1
from pathlib import Path

import pytest

from bootstrap.pulumi_backend import Backend
from broker.host.transport import PROXIES
from cli.errors import CommandError
from cli.pulumi import Pulumi
from cli.stack import ROOT, Stack

SALT = "encryptionsalt: v1:fresh:v1:salt="


@pytest.fixture
def pulumi(desk):
    return lambda: Pulumi.ready(Stack.read("test"))


def writes_a_salt(desk):
    desk.pulumi(f"echo '{SALT}' >>{desk.file}")


def test_the_salt_of_a_generated_passphrase_is_removed(desk, pulumi):
    writes_a_salt(desk)
    before = desk.file.read_text()

    pulumi().select()
    assert desk.file.read_text() == before
    pulumi().run("up")
    assert desk.file.read_text() == before


def test_the_salt_is_removed_after_a_failure_of_pulumi(desk, pulumi):
    desk.pulumi(f"echo '{SALT}' >>{desk.file}; exit 1")
    before = desk.file.read_text()

    with pytest.raises(CommandError):
        pulumi().run("up")
    assert desk.file.read_text() == before


def test_an_existing_salt_is_kept(desk, pulumi):
    desk.write(below="encryptionsalt: v1:team\n")
    writes_a_salt(desk)

    pulumi().select()

    assert "encryptionsalt: v1:team\n" in desk.file.read_text()
    assert SALT in desk.file.read_text()


def test_the_salt_of_encrypted_values_is_kept(desk, pulumi):
    desk.pulumi(f"printf '%s\\n' '{SALT}' '  x: {{secure: v1:abc}}' >>{desk.file}")

    pulumi().select()

    assert SALT in desk.file.read_text()


def test_the_salt_of_a_shared_passphrase_is_kept(desk, pulumi):
    desk.backend = Backend(local_passphrase=False)
    writes_a_salt(desk)

    pulumi().select()

    assert SALT in desk.file.read_text()


def test_other_changes_by_pulumi_are_kept(desk, pulumi):
    desk.pulumi(f"printf '%s\\n' '# mine' '{SALT}' 'environment: [x]' >>{desk.file}")
    before = desk.file.read_text()

    pulumi().select()

    assert desk.file.read_text() == before + "# mine\nenvironment: [x]\n"


def test_path_starts_with_this_python_then_the_engine(desk, pulumi):
    desk.pulumi('echo "$PATH"')

    first, second, *_ = pulumi().ask("version").split(os.pathsep)

    assert Path(first) == Path(sys.executable).parent
    assert Path(second) == desk.bin


def test_a_failure_is_an_error_with_the_message_of_pulumi(desk, pulumi):
    desk.pulumi("echo 'error: no such backend' >&2; exit 1")

    with pytest.raises(
        CommandError, match=r"^pulumi stack select --create test: error: no such back"
    ):
        pulumi().select()


def test_a_failure_that_pulumi_showed_is_not_repeated(desk, pulumi):
    desk.pulumi("exit 1")

    with pytest.raises(CommandError, match=r"^pulumi up failed; its message is above\.$"):
        pulumi().run("up")
    assert pulumi().run("up", check=False) == 1


def test_without_a_terminal_pulumi_does_not_ask(desk, pulumi):
    pulumi().run("up")

    assert (desk.calls_file.read_text()) == "--non-interactive up\n"


def test_outputs_are_read_in_clear_text_and_not_printed(desk, pulumi, capfd):
    desk.outputs = {"credentials": {"sensor": {"password": "s3cret"}}}
    desk.pulumi("exit 0")

    assert pulumi().outputs() == desk.outputs
    assert "s3cret" not in "".join(capfd.readouterr())


def test_a_message_in_another_encoding_is_shown(desk, pulumi):
    desk.pulumi(r"printf 'caf\351\n' >&2; exit 1")

    with pytest.raises(CommandError, match="caf\ufffd"):
        pulumi().ask("stack")


def selected(desk, monkeypatch, name):
    """Write a workspace in which stack *name* is the current one."""
    monkeypatch.setenv("PULUMI_HOME", str(desk.folder))
    digest = sha1(str(ROOT / "Pulumi.yaml").encode(), usedforsecurity=False).hexdigest()
    file = desk.folder / "workspaces" / f"sentient-mqtt-{digest}-workspace.json"
    file.parent.mkdir()
    backend = os.environ["PULUMI_BACKEND_URL"]
    file.write_text(json.dumps({"stacks": {backend: f"organization/sentient-mqtt/{name}"}}))


@pytest.mark.parametrize(("name", "calls"), [("test", 0), ("test2", 1), ("prod", 1)])
def test_the_current_stack_is_not_selected_again(desk, pulumi, monkeypatch, name, calls):
    selected(desk, monkeypatch, name)
    pulumi().select()
    assert len(desk.calls()) == calls


def test_a_current_stack_without_a_state_is_created(desk, pulumi, monkeypatch):
    selected(desk, monkeypatch, "test")
    desk.state_file.unlink()
    pulumi().select()
    assert desk.calls() == ["stack select --create test"]


class TestProxy:
    """gRPC would send Pulumi's calls on this machine through ``http_proxy``."""

    @pytest.fixture(autouse=True)
    def _no_proxies(self, monkeypatch):
        for name in (*PROXIES, "grpc_proxy"):
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize("proxy", ["http_proxy", "HTTPS_PROXY", "all_proxy", "grpc_proxy"])
    def test_the_loopback_is_dialled_without_one(self, monkeypatch, pulumi, proxy):
        monkeypatch.setenv(proxy, "http://proxy.example.org:3128")

        environ = pulumi().environ

        assert environ[proxy] == "http://proxy.example.org:3128"
        assert environ["no_proxy"] == environ["NO_PROXY"] == "127.0.0.1,localhost,::1"

    @pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
    def test_declared_exceptions_are_kept(self, monkeypatch, pulumi, name):
        monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
        monkeypatch.setenv(name, "example.org, 127.0.0.1")

        environ = pulumi().environ

        expected = "example.org,127.0.0.1,localhost,::1"
        assert (environ["no_proxy"], environ["NO_PROXY"]) == (expected, expected)

    def test_nothing_is_set_without_a_proxy(self, pulumi):
        assert not {"no_proxy", "NO_PROXY"} & pulumi().additions.keys()
