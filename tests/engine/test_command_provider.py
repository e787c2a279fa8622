"""command:local:Command behaves as pulumi-command 1.2.1 was measured to, case by case."""

import json

import pytest


def command(name="c", **inputs):
    """Return the declaration of a Command; `opts` is text."""
    opts = inputs.pop("opts", None)
    words = [f"{key}={value!r}" for key, value in inputs.items()]
    words += [f"opts=ResourceOptions({opts})"] if opts else []
    return f"{name} = local.Command({name!r}, {', '.join(words)})\n"


# --- create, update, delete ---------------------------------------------------------------------


def test_create_runs_once_and_an_unchanged_program_runs_nothing(project):
    project.up(command(create="echo run >>log"))
    project.up()

    assert project.read("log") == "run\n"


def test_without_create_nothing_runs_and_the_resource_is_there(project):
    project.up(command(delete="echo gone >>log"))

    assert project.read("log") == ""
    assert "c" in project.state()


@pytest.mark.parametrize(
    "changed",
    [
        {"environment": {"A": "2"}},
        {"stdin": "other"},
        {"delete": "echo other >>gone"},
        {"logging": "none"},
        {"interpreter": ["/bin/sh", "-ec"]},
        {"create": "echo run again >>log"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_any_changed_input_runs_create_again_where_there_is_no_update(project, changed):
    inputs = {"create": "echo run >>log", "environment": {"A": "1"}, "stdin": "one"}
    project.up(command(**inputs))

    project.up(command(**{**inputs, **changed}))

    assert len(project.read("log").splitlines()) == 2
    assert project.read("gone") == ""


def test_update_runs_in_place_of_create(project):
    project.up(command(create="echo create >>log", update="echo update >>log"))

    project.up(command(create="echo never >>log", update="echo update >>log"))

    assert project.read("log") == "create\nupdate\n"
    assert project.state()["c"]["inputs"]["create"] == "echo never >>log"


def test_a_removed_resource_runs_the_delete_of_old_with_the_environment_of_old(project):
    project.up(command(create=":", delete='echo "$A" >>log', environment={"A": "old"}))

    project.up("")

    assert project.read("log") == "old\n"


def test_a_failed_create_is_not_in_the_state_and_its_delete_never_runs(project):
    project.up(command(create="echo half >>log; false", delete="echo gone >>log"), fails=True)

    assert "c" not in project.state()
    project.up("")
    assert project.read("log") == "half\n"


def test_a_failed_update_keeps_the_old_inputs_and_is_tried_again(project):
    project.up(command(create="echo one"))
    project.up(command(create="test -e there && echo two"), fails=True)
    assert project.state()["c"]["inputs"]["create"] == "echo one"
    assert project.state()["c"]["outputs"]["stdout"] == "one"

    (project.folder / "there").touch()
    project.up()

    assert project.state()["c"]["outputs"]["stdout"] == "two"


def test_a_preview_runs_nothing(project):
    project.declare(command(create="echo run >>log"))

    assert project.pulumi("preview").code == 0
    assert project.read("log") == ""


def test_a_refresh_finds_no_drift(project):
    project.up(command(create="echo run >made"))
    (project.folder / "made").unlink()

    assert project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes").code == 0
    project.up()
    assert project.read("made") == ""


# --- triggers -----------------------------------------------------------------------------------


def test_triggers_replace_and_the_new_create_comes_before_the_old_delete(project):
    def text(value):
        return command(
            create=f"echo create {value} >>log",
            delete=f"echo delete {value} >>log",
            update="echo update >>log",
            triggers=[value],
        )

    project.up(text(1))
    project.up(text(2))

    assert project.read("log") == "create 1\ncreate 2\ndelete 1\n"


@pytest.mark.parametrize(("before", "after"), [([1], [1, 2]), ([1, 2], [1])])
def test_an_added_or_removed_trigger_replaces_too(project, before, after):
    project.up(command(create="echo run >>log", update="echo update >>log", triggers=before))
    project.up(command(create="echo run >>log", update="echo update >>log", triggers=after))

    assert project.read("log") == "run\nrun\n"


def test_delete_before_replace_turns_the_order_round(project):
    def text(value):
        return command(
            create=f"echo create {value} >>log",
            delete=f"echo delete {value} >>log",
            triggers=[value],
            opts="delete_before_replace=True",
        )

    project.up(text(1))
    project.up(text(2))

    assert project.read("log") == "create 1\ndelete 1\ncreate 2\n"


# --- the process --------------------------------------------------------------------------------


def test_the_process_has_pulumis_environment_and_its_own(project):
    project.up(command(create='echo "$PULUMI_CONFIG_PASSPHRASE $A" >log', environment={"A": "own"}))

    assert project.read("log") == "of-the-tests own\n"


def test_previous_outputs_are_in_the_environment_unless_switched_off(project):
    show = 'echo "[$PULUMI_COMMAND_STDOUT]" >>log; echo out'
    project.up(command(create=show))
    project.up(command(create=show, stdin="2"))
    project.up(command(create=show, stdin="3", add_previous_output_in_env=False))

    assert project.read("log") == "[]\n[out]\n[]\n"


def test_stdin_dir_and_interpreter(project):
    (project.folder / "below").mkdir()
    project.up(
        command(
            create="cat >here; echo $0", stdin="text", dir="below", interpreter=["/bin/sh", "-c"]
        )
    )

    assert project.read("below/here") == "text"
    assert project.state()["c"]["outputs"]["stdout"] == "/bin/sh"


def test_the_default_interpreter_is_sh_without_e(project):
    project.up(command(create="false; echo went on"))

    assert project.state()["c"]["outputs"]["stdout"] == "went on"


def test_stdout_and_stderr_lose_their_last_line_break(project):
    project.up(command(create="echo out; echo err >&2"))

    outputs = project.state()["c"]["outputs"]
    assert (outputs["stdout"], outputs["stderr"]) == ("out", "err")


@pytest.mark.parametrize("logging", ["none", None])
def test_a_line_longer_than_64_kib_does_not_hang(project, logging):
    """Upstream hangs on it with its default logging; ours does not, on purpose."""
    inputs = {"logging": logging} if logging else {}
    project.up(command(create="head -c 200000 /dev/zero | tr '\\\\0' x; echo", **inputs))

    assert len(project.state()["c"]["outputs"]["stdout"]) == 200_000


# --- secrets ------------------------------------------------------------------------------------

SECRET = "pulumi.Output.secret('s3cret')"


def test_stdout_is_plain_even_where_stdin_is_secret(project):
    said = project.up(f"c = local.Command('c', create='cat', stdin={SECRET})\n")

    assert "s3cret" in said
    assert project.state()["c"]["outputs"]["stdout"] == "s3cret"
    assert "s3cret" not in json.dumps(project.state()["c"]["inputs"])


def test_marked_and_not_logged_stdout_is_a_secret(project):
    said = project.up(
        f"c = local.Command('c', create='cat', stdin={SECRET}, logging='none',"
        " opts=ResourceOptions(additional_secret_outputs=['stdout', 'stderr']))\n"
    )

    assert "s3cret" not in said
    assert "s3cret" not in json.dumps(project.state()["c"])
    assert "s3cret" not in "".join(
        each.read_text() for each in (project.folder / "state").rglob("*.json")
    )


@pytest.mark.parametrize(
    ("logging", "shown"),
    [("stdout", "O"), ("stderr", "E"), ("none", ""), ("stdoutAndStderr", "EO")],
)
def test_logging_says_what_is_shown_while_it_runs(project, logging, shown):
    said = project.up(command(create="echo seen-O; echo seen-E >&2", logging=logging))

    assert sorted(each for each in "OE" if f"seen-{each}" in said) == sorted(shown)


def test_a_failure_shows_the_script_and_all_its_output_whatever_logging_says(project):
    said = project.up(
        command(create="echo to-stdout; echo to-stderr >&2; exit 7", logging="none"), fails=True
    )

    assert 'exit status 7: running "echo to-stdout;' in said
    assert "\nto-stdout" in said.replace("    ", "")
    assert "to-stderr" in said


def test_an_unfinished_create_is_named_after_the_engine_was_killed(project):
    """What `up` was doing is in the state before it is done."""
    project.declare(command(create="kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $$))"))
    assert project.pulumi("up", "--yes", "--skip-preview").code != 0

    export = json.loads(project.pulumi("stack", "export").text)["deployment"]

    assert [each["type"] for each in export.get("pending_operations", [])] == ["creating"]


# --- the invoke ---------------------------------------------------------------------------------


def test_run_answers_at_preview_too(project):
    project.declare(
        "pulumi.export('said', local.run(command='echo asked >>log; echo hello').stdout)\n"
    )

    assert "hello" in project.pulumi("preview").text
    project.up()

    assert project.read("log") == "asked\nasked\n"


def test_a_remote_command_is_refused_with_the_way_out(project):
    said = project.up(
        "from pulumi_command import remote\n"
        "remote.Command('r', connection=remote.ConnectionArgs(host='127.0.0.1'), create=':')\n",
        fails=True,
    )

    assert "remote" in said
