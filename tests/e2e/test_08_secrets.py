"""No password and no hash is where anybody may look; whoever asks for them gets them."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from site_under_test import STACK
from witness import MARK, PULUMIS, Witness

from broker.checks.checklist import checklist
from cli.observe.check import observe
from cli.stack import Stack

PASSWORD = "random:index/randomPassword:RandomPassword"


@pytest.fixture(scope="module")
def secret_values(site):
    """All that must not be seen, by what it is: as text, as base64, as JSON has it."""
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
        user, _, whole = line.partition(":")
        _, kind, _, salt, digest = whole.split("$")
        assert kind == "7"
        values |= {f"{user} line": whole, f"{user} salt": salt, f"{user} digest": digest}
    values |= {f"former {number}": each for number, each in enumerate(site.former_passwords)}
    assert len(values) > 20
    return values


@pytest.fixture(scope="module")
def found_in(secret_values):
    """``found_in(bytes)``: the names of the secrets that can be read there."""
    forms = {
        name: {
            text.encode(),
            b64encode(text.encode()).rstrip(b"="),
            json.dumps(text).strip('"').encode(),
        }
        for name, text in secret_values.items()
    }

    def look(seen: bytes) -> set[str]:
        return {name for name, each in forms.items() if any(form in seen for form in each)}

    return look


def test_the_search_finds_what_is_there(site, found_in, secret_values):
    shown = site.stack("output", "--show-secrets", quiet=True).output.encode()
    assert {f"credentials-{user} result" for user in site.settings.users} <= found_in(shown)
    folder = Path(site.settings.broker.folders.config)
    assert "admin digest" in found_in((folder / "mosquitto_passwd").read_bytes())
    assert found_in(b64encode(secret_values["admin digest"].encode())) == {"admin digest"}


def test_not_in_what_previews_and_updates_print(site, found_in):
    said = "".join(site.said)
    for command in ("Previewing update", "Updating"):
        assert command in said
    assert found_in(said.encode()) == set()


def test_not_in_outputs_that_nobody_asked_to_see(site, found_in):
    for words in (("output",), ("output", "--json"), ("export",)):
        assert found_in(site.stack(*words).output.encode()) == set()


def test_not_in_docker_inspect_and_not_in_the_log(site, found_in):
    assert found_in(site.docker("inspect", site.container).encode()) == set()
    assert found_in(site.docker("logs", site.container).encode()) == set()
    image = site.inspect()["Image"]
    assert found_in(site.docker("inspect", image).encode()) == set()


def test_not_in_command_lines_and_environments_during_an_up(witness, found_in):
    everything = b"\n".join(witness.seen)
    # It did look at the right moments.
    assert b"pulumi-resource-docker" in everything
    assert b"sh\0-s\0apply" in everything
    assert found_in(everything) == set()


def test_no_command_for_the_host_has_pulumis_secrets_in_its_environment(site, witness):
    """While `up` runs, which was watched from its first moment."""
    holders = {seen.program for seen in witness.processes if MARK in str(seen.environment)}
    assert {"pulumi", "pulumi-resource-command"} <= holders
    assert any(seen.line.endswith(b"sh\0-s\0apply\0") for seen in witness.processes)
    assert witness.holders(PULUMIS | {"PULUMI_CONFIG": site.container}) == []


def test_nor_has_one_the_stacks_config_while_a_preview_or_a_check_runs(site, monkeypatch):
    ours = f"a password of our own: {MARK}"
    for name, value in PULUMIS.items():
        monkeypatch.setenv(name, value)
    with Witness() as witness, site.edited(lambda _: None):
        words = ("config", "set", "--stack", STACK, "--secret", "--path")
        site.pulumi(*words, 'sentient-mqtt:passwords["sealed"]', given=ours)
        with witness.watching():
            site.preview()
            stack = Stack.parse(STACK, site.stack_file, site.stack_file.read_text())
            checklist(stack.settings, STACK, observe(stack, site.outputs()))
    holders = {seen.program for seen in witness.processes if ours in str(seen.environment)}
    assert any(program.startswith("python") for program in holders)
    assert any(seen.line.endswith(b"sh\0-s\0look\0") for seen in witness.processes)
    assert witness.holders(PULUMIS | {"PULUMI_CONFIG": ours}) == []


def test_not_in_the_bytes_of_the_state_its_history_and_backups(site, found_in):
    files = [each for each in site.state.rglob("*") if each.is_file()]
    assert any("history" in str(each) for each in files)
    for file in files:
        assert found_in(file.read_bytes()) == set(), file


def test_not_in_the_project_folder(site, found_in):
    for file in site.project.rglob("*"):
        if file.is_file() and ".venv" not in file.parts:
            assert found_in(file.read_bytes()) == set(), file
