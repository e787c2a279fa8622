"""The host is probed before anything changes, and every failure has an error message."""

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
from components import host_probe
from components.host_probe import probe_host, run_probe

HOST = "unix:///var/run/docker.sock"
REQUIREMENTS = host_requirements(
    Settings.parse(smallest(envFiles=[{"path": "/srv/env/mqtt.env", "user": "sensor"}])), "test"
)
HERE = transport(HOST)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in host_probe.DIVERTING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(host_probe.SKIP, raising=False)


@pytest.fixture
def answer(monkeypatch):
    """Set the output of the probe; the returned mapping records the arguments of its process."""

    def set_to(stdout="probe -=done\n", stderr="", code=0, raises=None):
        process = {}

        def run(argv, **arguments):
            process.update(arguments, argv=argv, input=arguments["input"].decode())
            if raises:
                raise raises
            output = (text.encode("utf-8", "surrogateescape") for text in (stdout, stderr))
            return subprocess.CompletedProcess(argv, code, *output)

        monkeypatch.setattr(subprocess, "run", run)
        return process

    return set_to


USABLE = "docker -=ok\nroot -=yes\nport 1883=free\nprobe -=done\n"


def test_the_facts_of_the_host_are_returned(answer):
    process = answer(USABLE)

    assert probe_host(HERE, REQUIREMENTS).line("port", "1883") == "free"
    assert process["argv"] == ["/bin/sh", "-c", "exec sh -s look"]
    assert process["input"].endswith("\nfinish\n")


def test_the_probe_gets_no_secrets_from_the_environment(answer, monkeypatch):
    monkeypatch.setenv("PULUMI_CONFIG", "s3cret")
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    process = answer(USABLE)

    probe_host(HERE, REQUIREMENTS)

    assert process["env"]["SSH_AUTH_SOCK"] == "/agent"
    assert process["env"]["PATH"] == os.environ["PATH"]
    assert "s3cret" not in str(process["env"])


def test_the_probe_reads_everything_that_the_stack_requires(answer):
    process = answer(USABLE)

    probe_host(HERE, REQUIREMENTS)

    calls = process["input"].splitlines()
    assert any(call.startswith("container mosquitto-test ") for call in calls)
    assert "port 1883 test" in calls
    assert [call.split()[:5] for call in calls if call.startswith("folder ")] == [
        ["folder", "/srv/mqtt/config", "0750", "0", "1883"],
        ["folder", "/srv/mqtt/data", "0750", "1883", "1883"],
        ["folder", "/srv/mqtt/log", "0750", "0", "1883"],
    ]
    assert any(call.startswith("envfile /srv/env/mqtt.env '# Written by Pulumi") for call in calls)


def test_the_probe_looks_for_a_fallback_image_only_if_it_is_allowed():
    assert REQUIREMENTS.fallback_image == ""
    allowed = host_requirements(Settings.parse(smallest(allowStandIn=True)), "test")
    assert allowed.fallback_image == FALLBACK_IMAGE


def test_docker_context_is_an_error_before_the_probe_runs(answer, monkeypatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "staging")
    process = answer(USABLE)

    with pytest.raises(pulumi.RunError, match=r"'staging'.*unset DOCKER_CONTEXT"):
        probe_host(HERE, REQUIREMENTS)
    assert process == {}


@pytest.mark.parametrize("name", ["DOCKER_CERT_PATH", "DOCKER_KEY_MATERIAL"])
def test_docker_tls_material_is_an_error_that_shows_no_key(answer, monkeypatch, name):
    monkeypatch.setenv(name, "/home/me/.docker/key")
    process = answer(USABLE)

    with pytest.raises(pulumi.RunError, match=rf"^{name} is set.*unset {name}") as error:
        probe_host(HERE, REQUIREMENTS)
    assert ("/home/me" in str(error.value)) is (name == "DOCKER_CERT_PATH")
    assert process == {}


def test_a_timeout_is_an_error(answer):
    answer(raises=subprocess.TimeoutExpired("ssh", 60))

    with pytest.raises(pulumi.RunError, match=r"no answer within 60 seconds"):
        run_probe(HERE, REQUIREMENTS)


def test_a_missing_ssh_client_is_named(answer):
    answer(raises=FileNotFoundError("ssh"))

    with pytest.raises(pulumi.RunError, match="apt-get install openssh-client"):
        run_probe(transport("ssh://site"), REQUIREMENTS)


def test_an_ssh_client_that_cannot_be_started(answer):
    answer(raises=PermissionError(13, "Permission denied", "ssh"))

    with pytest.raises(pulumi.RunError, match="ssh can't be started here: Permission denied"):
        run_probe(transport("ssh://site"), REQUIREMENTS)


def test_errors_of_ssh_are_explained(answer):
    answer("", "Host key verification failed.", 255)

    with pytest.raises(pulumi.RunError, match=r"^host ssh://site: its host key"):
        run_probe(transport("ssh://site"), REQUIREMENTS)


def test_an_incomplete_probe_is_an_error_whatever_its_exit_code(answer):
    answer("docker -=ok\nroot -=yes\n", "sh: out of memory", 0)

    with pytest.raises(pulumi.RunError, match=r"the probe failed \(exit 0\): sh: out of memory"):
        run_probe(HERE, REQUIREMENTS)


def test_exit_code_255_is_not_an_ssh_error_without_ssh(answer):
    answer("", "", 255)

    with pytest.raises(pulumi.RunError, match=r"the probe failed \(exit 255\): no message"):
        run_probe(HERE, REQUIREMENTS)


def test_a_message_that_is_not_utf_8_is_shown(answer):
    answer("", "ssh: caf\udce9: Permission denied", 255)

    with pytest.raises(pulumi.RunError, match="caf\ufffd"):
        run_probe(transport("ssh://site"), REQUIREMENTS)


def probe_with(monkeypatch, tmp_path, facts):
    """Run the real probe, with a fake docker that prints *facts* as its version."""
    docker = tmp_path / "docker"
    docker.write_bytes(b"#!/bin/sh\nprintf '" + facts + b"'\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return run_probe(
        HERE, replace(REQUIREMENTS, ports={}, folders={}, folder_probes=(), env_files={})
    )


def test_bytes_that_are_not_utf_8_are_replaced(monkeypatch, tmp_path):
    facts = probe_with(monkeypatch, tmp_path, rb"caf\351 refused")

    assert facts.line("docker") == "caf\ufffd refused"


@pytest.mark.parametrize("end", [rb"\r", rb"\f", rb"\302\205", rb"\342\200\250"])
def test_only_a_newline_ends_a_fact(monkeypatch, tmp_path, end):
    facts = probe_with(monkeypatch, tmp_path, b"no" + end + b"root -=forged")

    assert facts.line("docker").endswith("root -=forged")
    assert facts.line("root") in ("yes", "no")


@pytest.mark.parametrize(("preview", "probed"), [(True, False), (False, True)])
def test_only_a_preview_can_skip_the_probe(answer, monkeypatch, engine, preview, probed):
    monkeypatch.setenv(host_probe.SKIP, "skip")
    process = answer(USABLE)
    engine.start(preview=preview)

    engine.run(lambda: probe_host(HERE, REQUIREMENTS) and None)

    assert bool(process) is probed


def test_a_folder_that_is_a_symbolic_link_is_an_error(tmp_path, monkeypatch):
    """With the real probe and a fake docker."""
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\ncase "$*" in *version*) echo 1 ;; *" ps "*) ;; *) exit 1 ;; esac\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "link"
    folder.symlink_to(tmp_path)

    required = replace(
        REQUIREMENTS,
        ports={},
        folders={"broker.folders.data": str(folder)},
        folder_probes=(Probe.folder(str(folder), mode="0750", uid=1883, gid=1883, names=()),),
    )
    (finding,) = host_errors(required, probe_host(HERE, required), HOST)

    assert finding.text.startswith(
        f"sentient-mqtt:broker.folders.data: '{folder}': is a symbolic link"
    )
