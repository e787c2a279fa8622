"""Every command on the host keeps its input and output secret."""

import subprocess

import pytest
from fake_engine import everything_plain, is_secret, unwrap
from pulumi import Output, ResourceOptions

from broker.host.script_calls import ScriptCall
from broker.host.scripts import HostScript
from broker.host.transport import clean_interpreter, transport
from components.host_command import host_command, read_script, show

SECRET = "s3cret-text"


@pytest.fixture(params=["unix:///var/run/docker.sock", "ssh://sentient@192.168.2.3"])
def route(request):
    return transport(request.param)


@pytest.fixture
def created(engine, route):
    def create():
        calls = Output.secret(SECRET).apply(
            lambda text: [ScriptCall(words=("put", "/x", "0600", "0", "0"), text=f"{text}\n")]
        )
        return host_command(
            "command",
            transport=route,
            become="sudo",
            image="image:1",
            script=HostScript.PUT_FILES,
            calls=calls,
            shown={"mosquitto.conf": "listener 1883\n"},
            opts=ResourceOptions(),
        )

    engine.run(create)
    return engine


def test_the_input_is_on_a_secret_stdin(created):
    stdin = created.inputs_of("command")["stdin"]

    assert is_secret(stdin)
    assert SECRET in unwrap(stdin)
    scripts = map(read_script, ("lib/paths.sh", "lib/applied.sh", "lib/put_files.sh"))
    assert unwrap(stdin).startswith("".join(scripts))
    assert unwrap(stdin).endswith("\nfinish\n")


def test_no_other_property_contains_the_input(created):
    (args,) = created.created.values()

    assert SECRET not in everything_plain(args)
    assert set(args.inputs) == {
        *("create", "delete", "interpreter", "stdin", "environment", "logging"),
        "addPreviousOutputInEnv",
    }


def test_output_is_secret_and_not_logged(created):
    assert created.inputs_of("command")["logging"] == "none"
    assert set(created.options["command"].additional_secret_outputs) == {"stdout", "stderr"}


def test_the_previous_output_is_not_in_the_environment(created):
    assert created.inputs_of("command")["addPreviousOutputInEnv"] is False


def test_no_property_replaces_the_command(created):
    """After a replacement, the old `delete` would undo the new `create`."""
    assert "triggers" not in created.inputs_of("command")
    assert "update" not in created.inputs_of("command")


def test_create_and_delete_differ_in_one_word(created):
    inputs = created.inputs_of("command")

    assert inputs["create"].replace("apply", "remove") == inputs["delete"]
    assert "apply" not in inputs["delete"]
    assert subprocess.run(["sh", "-nc", inputs["create"]], check=False).returncode == 0


def test_the_interpreter_is_that_of_the_transport(created, route):
    interpreter = created.inputs_of("command")["interpreter"]
    assert interpreter == list(clean_interpreter(route.interpreter))
    assert interpreter[-len(route.interpreter) :] == list(route.interpreter)


def test_the_script_gets_only_the_variables_that_it_needs(created, tmp_path):
    """pulumi-command passes its whole environment, and `environment`, to the interpreter."""
    inputs = created.inputs_of("command")
    (tmp_path / "ssh").write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    (tmp_path / "ssh").chmod(0o755)
    secret = {"PULUMI_CONFIG": "s3cret", "AWS_PROFILE": "s3cret", "MY_TOKEN": "s3cret"}
    needed = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/a b", "SSH_AUTH_SOCK": "/it's $HOME"}
    done = subprocess.run(
        [*inputs["interpreter"], "tr '\\0' '\\n' </proc/self/environ"],
        env={**secret, **needed, "LANG": "", **inputs["environment"]},
        capture_output=True,
        text=True,
        check=True,
    )
    added_by_sh = ("PWD", "OLDPWD", "SHLVL", "_")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    found = {name: value for name, value in found.items() if name not in added_by_sh}
    assert found == {**needed, "LANG": ""}


def test_variables_with_secrets_are_set_to_an_empty_value(created):
    environment = created.inputs_of("command")["environment"]
    for name in ("PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY"):
        assert environment[name] == ""


def test_shown_text_is_plain(created):
    assert created.shown_of("command") == {"mosquitto.conf": "listener 1883\n"}


def test_calls_without_secrets_are_secret_too(engine, route):
    engine.run(
        lambda: host_command(
            "command",
            transport=route,
            become="sudo",
            image="image:1",
            script=HostScript.FOLDERS,
            calls=[ScriptCall(words=("folder", "kept", "/x"))],
            opts=ResourceOptions(),
        )
    )

    assert is_secret(engine.inputs_of("command")["stdin"])


def test_show_returns_the_length_of_a_text_that_is_too_long(engine):
    text = "topic read é\n" * 10_000

    assert show(text[:1000]) == text[:1000]
    assert engine.run(lambda: show(text)) == "130,000 characters, 10,000 lines"
