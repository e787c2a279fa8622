"""No password and no hash is readable except where it was asked for."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from process_watcher import MARK, SECRET_VARIABLES, ProcessWatcher
from site_under_test import STACK

from broker.checks.checklist import checklist
from cli.observe.check import observe
from cli.stack import Stack

PASSWORD = "random:index/randomPassword:RandomPassword"


@pytest.fixture(scope="module")
def secret_values(site):
    """Every secret text, by what it is: passwords, hashes, salts, former passwords."""
    export = json.loads(site.stack("export", "--show-secrets", quiet=True).output)
    values = {}
    for resource in export["deployment"]["resources"]:
        if resource["type"] == PASSWORD:
            name = resource["urn"].rpartition("::")[2]
            for key in ("result", "bcryptHash"):
                text = resource["outputs"][key]
                values[f"{name} {key}"] = json.loads(text["plaintext"])
    passwd = Path(site.settings.broker.folders.config, "mosquitto_passwd").read_text()
    for line in passwd.splitlines():
        user, _, hashed = line.partition(":")
        _, kind, _, salt, digest = hashed.split("$")
        assert kind == "7"
        values |= {f"{user} line": hashed, f"{user} salt": salt, f"{user} digest": digest}
    values |= {
        f"former {number}": password for number, password in enumerate(site.former_passwords)
    }
    assert len(values) > 20
    return values


@pytest.fixture(scope="module")
def found_in(secret_values):
    """``found_in(content)``: the names of the secrets in it, as text, in base64 or in JSON."""
    forms = {
        name: {
            text.encode(),
            b64encode(text.encode()).rstrip(b"="),
            json.dumps(text).strip('"').encode(),
        }
        for name, text in secret_values.items()
    }

    def search(content: bytes) -> set[str]:
        return {
            name
            for name, encodings in forms.items()
            if any(encoding in content for encoding in encodings)
        }

    return search


def test_search_finds_secrets_that_are_present(site, found_in, secret_values):
    outputs = site.stack("output", "--show-secrets", quiet=True).output.encode()
    assert {f"credentials-{user} result" for user in site.settings.users} <= found_in(outputs)
    folder = Path(site.settings.broker.folders.config)
    assert "admin digest" in found_in((folder / "mosquitto_passwd").read_bytes())
    assert found_in(b64encode(secret_values["admin digest"].encode())) == {"admin digest"}


def test_no_secret_in_the_output_of_previews_and_updates(site, found_in):
    printed = "".join(site.printed)
    for title in ("Previewing update", "Updating"):
        assert title in printed
    assert found_in(printed.encode()) == set()


def test_no_secret_in_outputs_without_show_secrets(site, found_in):
    for words in (("output",), ("output", "--json"), ("export",)):
        assert found_in(site.stack(*words).output.encode()) == set()


def test_no_secret_in_docker_inspect_and_in_the_log(site, found_in):
    assert found_in(site.docker("inspect", site.container).encode()) == set()
    assert found_in(site.docker("logs", site.container).encode()) == set()
    image = site.inspect()["Image"]
    assert found_in(site.docker("inspect", image).encode()) == set()


def test_no_secret_in_command_lines_and_environments_during_an_up(process_watcher, found_in):
    recorded = b"\n".join(process_watcher.texts)
    # It was recording while the plugins and the host commands ran.
    assert b"pulumi-resource-docker" in recorded
    assert b"sh\0-s\0apply" in recorded
    assert found_in(recorded) == set()


def test_host_commands_of_an_up_do_not_inherit_pulumis_secrets(site, process_watcher):
    processes = process_watcher.processes
    holders = {process.program for process in processes if MARK in str(process.environment)}
    assert {"pulumi", "pulumi-resource-command"} <= holders
    assert any(process.command_line.endswith(b"sh\0-s\0apply\0") for process in processes)
    assert process_watcher.holders(SECRET_VARIABLES | {"PULUMI_CONFIG": site.container}) == []


def test_host_commands_of_a_preview_and_a_check_do_not_inherit_the_config(site, monkeypatch):
    password = f"a password of our own: {MARK}"
    for name, value in SECRET_VARIABLES.items():
        monkeypatch.setenv(name, value)
    with ProcessWatcher() as watcher, site.edited(lambda _: None):
        words = ("config", "set", "--stack", STACK, "--secret", "--path")
        site.pulumi(*words, 'sentient-mqtt:passwords["sealed"]', stdin=password)
        with watcher.watching():
            site.preview()
            stack = Stack.parse(STACK, site.stack_file, site.stack_file.read_text())
            checklist(stack.settings, STACK, observe(stack, site.outputs()))
    processes = watcher.processes
    holders = {process.program for process in processes if password in str(process.environment)}
    assert any(program.startswith("python") for program in holders)
    assert any(process.command_line.endswith(b"sh\0-s\0look\0") for process in processes)
    assert watcher.holders(SECRET_VARIABLES | {"PULUMI_CONFIG": password}) == []


def test_no_secret_in_clear_in_the_state_its_history_and_backups(site, found_in):
    files = [path for path in site.state.rglob("*") if path.is_file()]
    assert any("history" in str(file) for file in files)
    for file in files:
        assert found_in(file.read_bytes()) == set(), file


def test_no_secret_in_clear_in_the_project_folder(site, found_in):
    for file in site.project.rglob("*"):
        if file.is_file() and ".venv" not in file.parts:
            assert found_in(file.read_bytes()) == set(), file
