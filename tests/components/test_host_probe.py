"""A host is looked at before anything is changed, and every failure of the look is a sentence."""

import os
import subprocess
from dataclasses import replace

import pulumi
import pytest
from declared import smallest

from broker.host.probe_functions import Probe
from broker.host.requirements import FALLBACK_IMAGE, host_errors, host_requirements
from broker.host.transport import transport
from broker.settings.stack_settings import Settings
from components import host_probe as preflight
from components.host_probe import ask, probe_host

HOST = "unix:///var/run/docker.sock"
WANTED = host_requirements(
    Settings.parse(smallest(envFiles=[{"path": "/srv/env/mqtt.env", "user": "sensor"}])), "test"
)
HERE = transport(HOST)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.delenv(preflight.SKIP, raising=False)


@pytest.fixture
def answer(monkeypatch):
    """The host answers so; what it was asked is kept."""

    def set_to(stdout="probe -=done\n", stderr="", code=0, raises=None):
        asked = {}

        def run(argv, **given):
            asked.update(given, argv=argv, input=given["input"].decode())
            if raises:
                raise raises
            said = (text.encode("utf-8", "surrogateescape") for text in (stdout, stderr))
            return subprocess.CompletedProcess(argv, code, *said)

        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return set_to


WELL = "docker -=ok\nroot -=yes\nport 1883=free\nprobe -=done\n"


def test_a_host_that_will_do_is_seen(answer):
    asked = answer(WELL)

    assert probe_host(HERE, WANTED).line("port", "1883") == "free"
    assert asked["argv"] == ["/bin/sh", "-c", "exec sh -s look"]
    assert asked["input"].endswith("\nfinish\n")


def test_it_is_asked_without_what_is_secret_in_the_environment(answer, monkeypatch):
    monkeypatch.setenv("PULUMI_CONFIG", "s3cret")
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    asked = answer(WELL)

    probe_host(HERE, WANTED)

    assert asked["env"]["SSH_AUTH_SOCK"] == "/agent"
    assert asked["env"]["PATH"] == os.environ["PATH"]
    assert "s3cret" not in str(asked["env"])


def test_everything_that_the_stack_needs_is_asked_after(answer):
    asked = answer(WELL)

    probe_host(HERE, WANTED)

    calls = asked["input"].splitlines()
    assert "container mosquitto-test" in calls
    assert "port 1883 test" in calls
    assert [each.split()[:5] for each in calls if each.startswith("folder ")] == [
        ["folder", "/srv/mqtt/config", "0750", "0", "1883"],
        ["folder", "/srv/mqtt/data", "0750", "1883", "1883"],
        ["folder", "/srv/mqtt/log", "0750", "0", "1883"],
    ]
    assert any(each.startswith("envfile /srv/env/mqtt.env '# Written by Pulumi") for each in calls)


def test_a_stand_in_is_asked_after_only_where_one_may_run():
    assert WANTED.fallback_image == ""
    allowed = host_requirements(Settings.parse(smallest(allowStandIn=True)), "test")
    assert allowed.fallback_image == FALLBACK_IMAGE


def test_docker_context_is_refused_before_anything_is_asked(answer, monkeypatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "staging")
    asked = answer(WELL)

    with pytest.raises(pulumi.RunError, match=r"'staging'.*unset DOCKER_CONTEXT"):
        probe_host(HERE, WANTED)
    assert asked == {}


def test_a_host_that_does_not_answer(answer):
    answer(raises=subprocess.TimeoutExpired("ssh", 60))

    with pytest.raises(pulumi.RunError, match=r"no answer within 60 seconds"):
        ask(HERE, WANTED)


def test_a_machine_without_an_ssh_client(answer):
    answer(raises=FileNotFoundError("ssh"))

    with pytest.raises(pulumi.RunError, match="apt-get install openssh-client"):
        ask(transport("ssh://site"), WANTED)


def test_an_ssh_client_that_does_not_start(answer):
    answer(raises=PermissionError(13, "Permission denied", "ssh"))

    with pytest.raises(pulumi.RunError, match="ssh can't be started here: Permission denied"):
        ask(transport("ssh://site"), WANTED)


def test_what_ssh_says_is_explained(answer):
    answer("", "Host key verification failed.", 255)

    with pytest.raises(pulumi.RunError, match=r"^host ssh://site: its host key"):
        ask(transport("ssh://site"), WANTED)


def test_a_look_that_broke_off_is_not_taken_for_one(answer):
    """Whatever it said until then, and whatever its exit code."""
    answer("docker -=ok\nroot -=yes\n", "sh: out of memory", 0)

    with pytest.raises(pulumi.RunError, match=r"a look at it failed \(exit 0\): sh: out of memory"):
        ask(HERE, WANTED)


def test_an_exit_code_of_255_here_is_not_sshs(answer):
    answer("", "", 255)

    with pytest.raises(pulumi.RunError, match=r"a look at it failed \(exit 255\): no message"):
        ask(HERE, WANTED)


def test_a_message_in_another_encoding_is_told(answer):
    answer("", "ssh: caf\udce9: Permission denied", 255)

    with pytest.raises(pulumi.RunError, match="caf\ufffd"):
        ask(transport("ssh://site"), WANTED)


def real(monkeypatch, tmp_path, facts):
    """Look for real, in a shell whose docker says *facts* of its version."""
    docker = tmp_path / "docker"
    docker.write_bytes(b"#!/bin/sh\nprintf '" + facts + b"'\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return ask(HERE, replace(WANTED, ports={}, folders={}, folder_probes=(), env_files={}))


def test_bytes_that_are_no_text_are_told_as_such(monkeypatch, tmp_path):
    seen = real(monkeypatch, tmp_path, rb"caf\351 refused")

    assert seen.line("docker") == "caf\ufffd refused"


@pytest.mark.parametrize("end", [rb"\r", rb"\f", rb"\302\205", rb"\342\200\250"])
def test_what_ends_a_line_elsewhere_makes_no_fact(monkeypatch, tmp_path, end):
    seen = real(monkeypatch, tmp_path, b"no" + end + b"root -=forged")

    assert seen.line("docker").endswith("root -=forged")
    assert seen.line("root") in ("yes", "no")


@pytest.mark.parametrize(("preview", "looked"), [(True, False), (False, True)])
def test_a_preview_may_do_without_and_an_up_never(answer, monkeypatch, engine, preview, looked):
    monkeypatch.setenv(preflight.SKIP, "skip")
    asked = answer(WELL)
    engine.start(preview=preview)

    engine.run(lambda: probe_host(HERE, WANTED) and None)

    assert bool(asked) is looked


def test_for_real_a_folder_that_is_a_link_is_refused(tmp_path, monkeypatch):
    """The whole way, with a Docker that runs nothing."""
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\ncase "$*" in *version*) echo 1 ;; *" ps "*) ;; *) exit 1 ;; esac\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "link"
    folder.symlink_to(tmp_path)

    required = replace(
        WANTED,
        ports={},
        folders={"broker.folders.data": str(folder)},
        folder_probes=(Probe.folder(str(folder), mode="0750", uid=1883, gid=1883, names=()),),
    )
    (finding,) = host_errors(required, probe_host(HERE, required), HOST)

    assert finding.text.startswith(
        f"sentient-mqtt:broker.folders.data: '{folder}': is a symbolic link"
    )
