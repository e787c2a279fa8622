"""Every command on the host has the one shape in which nothing secret can be seen."""

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
def way(request):
    return transport(request.param)


@pytest.fixture
def made(engine, way):
    def make():
        calls = Output.secret(SECRET).apply(
            lambda text: [ScriptCall(words=("put", "/x", "0600", "0", "0"), text=f"{text}\n")]
        )
        return host_command(
            "command",
            transport=way,
            become="sudo",
            image="image:1",
            script=HostScript.PUT_FILES,
            calls=calls,
            shown={"mosquitto.conf": "listener 1883\n"},
            opts=ResourceOptions(),
        )

    engine.run(make)
    return engine


def test_the_content_travels_on_a_secret_stdin(made):
    stdin = made.inputs_of("command")["stdin"]

    assert is_secret(stdin)
    assert SECRET in unwrap(stdin)
    assert unwrap(stdin).startswith(read_script("lib/paths.sh") + read_script("lib/put_files.sh"))
    assert unwrap(stdin).endswith("\nfinish\n")


def test_nothing_else_holds_it(made):
    (args,) = made.created.values()

    assert SECRET not in everything_plain(args)
    assert set(args.inputs) == {
        *("create", "delete", "interpreter", "stdin", "environment", "logging"),
        "addPreviousOutputInEnv",
    }


def test_it_is_silent_and_what_it_says_is_secret(made):
    assert made.inputs_of("command")["logging"] == "none"
    assert set(made.options["command"].additional_secret_outputs) == {"stdout", "stderr"}


def test_no_former_output_reaches_the_next_run(made):
    assert made.inputs_of("command")["addPreviousOutputInEnv"] is False


def test_nothing_replaces_it(made):
    """A trigger would: and then the old `delete` undoes the new `create`."""
    assert "triggers" not in made.inputs_of("command")
    assert "update" not in made.inputs_of("command")


def test_create_and_delete_differ_in_one_word(made):
    given = made.inputs_of("command")

    assert given["create"].replace("apply", "remove") == given["delete"]
    assert "apply" not in given["delete"]
    assert subprocess.run(["sh", "-nc", given["create"]], check=False).returncode == 0


def test_it_goes_the_way_that_docker_goes(made, way):
    interpreter = made.inputs_of("command")["interpreter"]
    assert interpreter == list(clean_interpreter(way.interpreter))
    assert interpreter[-len(way.interpreter) :] == list(way.interpreter)


def test_its_environment_has_only_what_a_command_for_the_host_needs(made, tmp_path):
    """As pulumi-command runs it: the whole environment, and what is shown, for the interpreter."""
    made = made.inputs_of("command")
    (tmp_path / "ssh").write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    (tmp_path / "ssh").chmod(0o755)
    secret = {"PULUMI_CONFIG": "s3cret", "AWS_PROFILE": "s3cret", "MY_TOKEN": "s3cret"}
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/a b", "SSH_AUTH_SOCK": "/it's $HOME"}
    done = subprocess.run(
        [*made["interpreter"], "tr '\\0' '\\n' </proc/self/environ"],
        env={**secret, **given, "LANG": "", **made["environment"]},
        capture_output=True,
        text=True,
        check=True,
    )
    added_by_sh = ("PWD", "OLDPWD", "SHLVL", "_")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    found = {name: value for name, value in found.items() if name not in added_by_sh}
    assert found == {**given, "LANG": ""}


def test_the_known_secrets_are_empty_before_anything_of_it_runs(made):
    shown = made.inputs_of("command")["environment"]
    for name in ("PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY"):
        assert shown[name] == ""


def test_what_is_shown_is_plain(made):
    assert made.shown_of("command") == {"mosquitto.conf": "listener 1883\n"}


def test_calls_are_secret_also_where_nothing_in_them_is(engine, way):
    """So that none can forget it."""
    engine.run(
        lambda: host_command(
            "command",
            transport=way,
            become="sudo",
            image="image:1",
            script=HostScript.FOLDERS,
            calls=[ScriptCall(words=("folder", "kept", "/x"))],
            opts=ResourceOptions(),
        )
    )

    assert is_secret(engine.inputs_of("command")["stdin"])


def test_a_text_too_long_for_an_environment_is_told_by_its_length(engine):
    text = "topic read é\n" * 10_000

    assert show(text[:1000]) == text[:1000]
    assert engine.run(lambda: show(text)) == "130,000 characters, 10,000 lines"
