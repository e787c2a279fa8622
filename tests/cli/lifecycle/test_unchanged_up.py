"""A second `up` looks at the host and logs in, and starts Pulumi only if an input changed."""

import json
from types import SimpleNamespace

import pytest

import cli.lifecycle.status
import cli.lifecycle.unchanged
import cli.lifecycle.up
from bootstrap.broker_image import Image
from bootstrap.docker_daemon import Daemon
from bootstrap.pulumi_backend import Backend
from broker.host.facts import HostFacts
from cli.errors import CommandError

DOCKER = 'case "$*" in "ps "*) echo running ;; "image inspect"*) echo sha256:1 ;; esac'


@pytest.fixture
def host(desk, monkeypatch, fake_docker):
    """A stack that was brought up once; ``host.facts`` is what its probe reports."""
    host = SimpleNamespace(facts={("container", "mosquitto-test"): "test"}, docker=fake_docker)
    daemon = Daemon(transport=cli.lifecycle.up.Stack.read("test").transport)
    monkeypatch.setattr(cli.lifecycle.up, "ensure_daemon", lambda *_, **__: daemon)
    monkeypatch.setattr(cli.lifecycle.up, "ensure_image", lambda name, *_, **__: Image(name=name))
    monkeypatch.setattr(
        cli.lifecycle.unchanged, "probe", lambda *_: HostFacts(facts=dict(host.facts))
    )
    fake_docker(DOCKER)
    desk.run("up")
    assert ups(desk) == 1
    return host


def ups(desk):
    """How often `pulumi up` ran."""
    return sum(call.startswith("up ") for call in desk.calls())


def test_pulumi_is_not_started_if_nothing_changed(host, desk, capsys):
    calls = host.docker(DOCKER)
    desk.run("up")

    assert ups(desk) == 1
    out = capsys.readouterr().out
    assert "Unchanged: the stack file, the program, the state and what" in out
    assert "The broker is up: container mosquitto-test" in out
    assert any(call.startswith("exec ") for call in calls()), "no login was tried"


def test_another_broker_on_the_host_is_no_change(host, desk):
    host.facts[("owner", "other:1")] = "state state-2"
    host.facts[("broker", "other")] = "test;2883;/srv/other/data"
    desk.run("up")
    assert ups(desk) == 1

    host.facts[("owner", "mosquitto-test:1")] = "state state-2"
    desk.run("up")
    assert ups(desk) == 2


def test_order_in_which_docker_lists_the_mounts_is_no_change(host, desk):
    host.facts[("broker", "mosquitto-test")] = "test;1883;/srv/data,/srv/config"
    desk.run("up")
    host.facts[("broker", "mosquitto-test")] = "test;1883;/srv/config,/srv/data"
    desk.run("up")
    assert ups(desk) == 2


def test_force_starts_it(host, desk):
    desk.run("up", "--force")
    assert ups(desk) == 2


def test_a_preview_starts_pulumi_only_for_a_change(host, desk, capsys):
    desk.run("preview")
    assert not any(call.startswith("preview") for call in desk.calls())
    assert "Unchanged: " in capsys.readouterr().out

    for words in (("--force",), ("--json",)):
        desk.run("preview", *words)
        assert desk.calls()[-1].startswith("preview")
    desk.write(checkAfterUp=False)
    desk.run("preview")
    assert desk.calls()[-1] == "preview --stack test --diff"


def test_a_broker_that_does_not_answer_is_an_error_although_nothing_changed(
    host, desk, capsys, monkeypatch
):
    monkeypatch.setattr(cli.lifecycle.status, "START_SECONDS", 0.1)
    host.docker(f'{DOCKER}; case "$*" in "exec "*) exit 5 ;; esac')

    with pytest.raises(CommandError, match="does not accept the login of its health user"):
        desk.run("up")
    assert "Unchanged" not in capsys.readouterr().out.rpartition("The broker is up")[2]


def edit_the_stack_file(desk, **_):
    desk.write(checkAfterUp=False)


def change_the_state(desk, **_):
    desk.checkpoint("urn:of-a-container", "urn:of-another")


def lose_the_state(desk, **_):
    desk.state_file.unlink()


def change_the_host(host, **_):
    host.facts["container", "mosquitto-test"] = "none"


def rebuild_the_image(host, **_):
    host.docker(DOCKER.replace("sha256:1", "sha256:2"))


def lose_the_image(host, **_):
    host.docker(DOCKER.replace("echo sha256:1", "exit 1"))


def set_a_variable(monkeypatch, **_):
    monkeypatch.setenv("SENTIENT_MQTT_PREFLIGHT", "skip")


def edit_the_program(monkeypatch, **_):
    monkeypatch.setattr(cli.lifecycle.unchanged, "PROGRAM", ("Pulumi.yaml", "README.md"))


def damage_the_record(record, **_):
    record.write_text("{")


@pytest.mark.parametrize(
    "change",
    [
        edit_the_stack_file,
        change_the_state,
        lose_the_state,
        change_the_host,
        rebuild_the_image,
        lose_the_image,
        set_a_variable,
        edit_the_program,
        damage_the_record,
    ],
    ids=lambda change: change.__name__,
)
def test_any_changed_input_starts_pulumi(host, desk, monkeypatch, change):
    (record,) = (desk.folder / "state-home").rglob("test-*.json")
    change(host=host, desk=desk, monkeypatch=monkeypatch, record=record)
    desk.run("up")
    assert ups(desk) == 2


def test_the_host_is_not_asked_if_the_stack_file_changed(host, desk, monkeypatch):
    def probe(*_):
        pytest.fail("the host was asked")

    edit_the_stack_file(desk)
    monkeypatch.setattr(cli.lifecycle.unchanged, "probe", probe)
    desk.run("preview")
    assert desk.calls()[-1].startswith("preview")


def test_a_failed_up_is_not_recorded(host, desk):
    desk.write(checkAfterUp=False)
    desk.pulumi('case "$*" in *up*) exit 1 ;; esac')
    for _ in range(2):
        with pytest.raises(CommandError, match="pulumi up failed"):
            desk.run("up")
    assert ups(desk) == 3


def test_a_state_in_a_bucket_is_never_taken_for_unchanged(host, desk, monkeypatch):
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    desk.backend = Backend(local_passphrase=False)
    for _ in range(2):
        desk.run("up", "--yes")
    assert ups(desk) == 3


def test_the_record_holds_no_secret(host, desk):
    (record,) = (desk.folder / "state-home").rglob("test-*.json")
    content = json.loads(record.read_text())
    assert set(content) == {"time", "image", "inputs", "host"}
    assert len(content["inputs"]) == len(content["host"]) == 64
