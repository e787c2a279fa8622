"""command:local:Command behaves like pulumi-command 1.2.1, as measured."""

import json

import pytest

declares = pytest.mark.declares


def command(**inputs):
    """Return the declaration of a Command that runs in the case's folder; `opts` is its source."""
    opts = inputs.pop("opts", None)
    words = ["name", *(f"{key}={value!r}" for key, value in inputs.items())]
    words += [] if "dir" in inputs else ["dir=name"]
    words += [f"opts=ResourceOptions({opts})"] if opts else []
    return f"c = local.Command({', '.join(words)})"


RUNS = command(create="echo run >>log")


# --- create, update, delete ---------------------------------------------------------------------


@declares(RUNS, RUNS)
def test_create_runs_once_while_the_program_is_unchanged(case):
    assert [case.read("log", step) for step in (1, 2)] == ["run\n", "run\n"]


@declares(command(delete="echo gone >>log"))
def test_without_create_nothing_runs_and_the_resource_exists(case):
    assert case.read("log") == ""
    assert case.resource() is not None


INPUTS = {"create": "echo run >>log", "environment": {"A": "1"}, "stdin": "one"}


@pytest.mark.parametrize(
    (),
    [
        pytest.param(
            id=next(iter(changed)), marks=declares(command(**INPUTS), command(**INPUTS | changed))
        )
        for changed in (
            {"environment": {"A": "2"}},
            {"stdin": "other"},
            {"delete": "echo other >>gone"},
            {"logging": "none"},
            {"interpreter": ["/bin/sh", "-ec"]},
            {"create": "echo run again >>log"},
        )
    ],
)
def test_without_update_any_changed_input_runs_create_again(case):
    assert case.read("log", 1) == "run\n"
    assert len(case.read("log", 2).splitlines()) == 2
    assert case.read("gone") == ""


@declares(
    command(create="echo create >>log", update="echo update >>log"),
    command(create="echo never >>log", update="echo update >>log"),
)
def test_a_change_runs_update_instead_of_create(case):
    assert case.read("log") == "create\nupdate\n"
    assert case.resource()["inputs"]["create"] == "echo never >>log"


@declares(command(create=":", delete='echo "$A" >>log', environment={"A": "old"}), "")
def test_a_removed_resource_runs_its_delete_with_its_environment(case):
    assert case.read("log", 1) == ""
    assert case.read("log", 2) == "old\n"


@declares(command(create="echo half >>log; false", delete="echo gone >>log"), "", stack="fails")
def test_a_failed_create_is_not_in_the_state_and_its_delete_never_runs(case):
    assert case.code(1) != 0
    assert case.resource(1) is None
    assert case.read("log") == "half\n"


@declares(
    command(create="echo one"),
    command(create='test "$(cat ../step)" -ge 3 && echo two'),
    command(create='test "$(cat ../step)" -ge 3 && echo two'),
    stack="fails",
)
def test_a_failed_update_keeps_the_old_inputs_and_is_repeated(case):
    assert case.code(2) != 0
    assert case.resource(2)["inputs"]["create"] == "echo one"
    assert case.resource(2)["outputs"]["stdout"] == "one"
    assert case.code(3) == 0
    assert case.resource(3)["outputs"]["stdout"] == "two"


@declares(RUNS)
def test_a_preview_runs_nothing(case):
    assert case.code(0) == 0
    assert case.read("log", 0) == ""
    assert case.read("log", 1) == "run\n"


@declares(command(create="echo run >made"))
def test_a_refresh_finds_no_drift(case):
    project = case.stack.project
    file = project.folder / case.name / "made"
    file.unlink()

    assert project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes").code == 0
    project.up()
    assert not file.exists()


# --- triggers -----------------------------------------------------------------------------------


def triggered(value, **more):
    return command(
        create=f"echo create {value} >>log",
        delete=f"echo delete {value} >>log",
        triggers=[value],
        **more,
    )


@declares(triggered(1, update="echo update >>log"), triggered(2, update="echo update >>log"))
def test_triggers_replace_and_the_new_create_runs_before_the_old_delete(case):
    assert case.read("log") == "create 1\ncreate 2\ndelete 1\n"


@pytest.mark.parametrize(
    (),
    [
        pytest.param(
            id=f"{before}-{after}",
            marks=declares(
                *(
                    command(create="echo run >>log", update="echo update >>log", triggers=triggers)
                    for triggers in (before, after)
                )
            ),
        )
        for before, after in (([1], [1, 2]), ([1, 2], [1]))
    ],
)
def test_an_added_or_removed_trigger_replaces_too(case):
    assert case.read("log") == "run\nrun\n"


DELETE_FIRST = "delete_before_replace=True"


@declares(triggered(1, opts=DELETE_FIRST), triggered(2, opts=DELETE_FIRST))
def test_with_delete_before_replace_the_old_delete_runs_first(case):
    assert case.read("log") == "create 1\ndelete 1\ncreate 2\n"


# --- the process --------------------------------------------------------------------------------


@declares(command(create='echo "$PULUMI_CONFIG_PASSPHRASE $A" >log', environment={"A": "own"}))
def test_the_environment_contains_that_of_pulumi_and_its_own(case):
    assert case.read("log") == "of-the-tests own\n"


SHOW = 'echo "[$PULUMI_COMMAND_STDOUT]" >>log; echo out'


@declares(
    command(create=SHOW),
    command(create=SHOW, stdin="2"),
    command(create=SHOW, stdin="3", add_previous_output_in_env=False),
)
def test_the_previous_output_is_in_the_environment_unless_disabled(case):
    assert case.read("log") == "[]\n[out]\n[]\n"


@declares(
    "import os; os.makedirs(f'{name}/below', exist_ok=True)\n"
    "c = local.Command(name, create='cat >here; echo $0', stdin='text', dir=f'{name}/below',"
    " interpreter=['/bin/sh', '-c'])"
)
def test_stdin_dir_and_interpreter(case):
    assert case.read("below/here") == "text"
    assert case.resource()["outputs"]["stdout"] == "/bin/sh"


@declares(command(create="false; echo went on"))
def test_the_default_interpreter_is_sh_without_e(case):
    assert case.resource()["outputs"]["stdout"] == "went on"


@declares(command(create="echo out; echo err >&2"))
def test_the_last_newline_is_removed_from_stdout_and_stderr(case):
    outputs = case.resource()["outputs"]
    assert (outputs["stdout"], outputs["stderr"]) == ("out", "err")


LONG = "head -c 200000 /dev/zero | tr '\\0' x; echo"


@pytest.mark.parametrize(
    (),
    [
        pytest.param(id="not logged", marks=declares(command(create=LONG, logging="none"))),
        pytest.param(id="logged", marks=declares(command(create=LONG))),
    ],
)
def test_a_line_longer_than_64_kib_does_not_hang(case):
    """Upstream hangs with its default logging; this provider does not, on purpose."""
    assert len(case.resource()["outputs"]["stdout"]) == 200_000


# --- secrets ------------------------------------------------------------------------------------


def secret(text, more=""):
    inputs = f"create='cat', stdin=pulumi.Output.secret({text!r}), dir=name{more}"
    return f"c = local.Command(name, {inputs})"


MARKED = ", logging='none', opts=ResourceOptions(additional_secret_outputs=['stdout', 'stderr'])"


@declares(secret("s3cret that is plain"))
def test_stdout_is_plain_even_if_stdin_is_secret(case):
    assert "s3cret that is plain" in case.text(1)
    assert case.resource()["outputs"]["stdout"] == "s3cret that is plain"
    assert "s3cret that is plain" not in json.dumps(case.resource()["inputs"])


@declares(secret("s3cret that is marked", MARKED))
def test_stdout_is_secret_if_marked_and_not_logged(case):
    assert case.resource()["outputs"]["stdout"] != "s3cret that is marked"
    assert not any("s3cret that is marked" in case.text(step) for step in range(4))
    states = list((case.stack.project.folder / "state").rglob("*.json"))
    assert states
    assert not any("s3cret that is marked" in file.read_text() for file in states)


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        pytest.param(
            *(logging, shown),
            marks=declares(
                command(create=f"echo {logging}-O; echo {logging}-E >&2", logging=logging)
            ),
        )
        for logging, shown in (
            ("stdout", "O"),
            ("stderr", "E"),
            ("none", ""),
            ("stdoutAndStderr", "EO"),
        )
    ],
)
def test_logging_selects_the_streams_that_are_printed(case, logging, shown):
    lines = [line.strip() for line in case.text(1).splitlines()]
    assert sorted(stream for stream in "OE" if f"{logging}-{stream}" in lines) == sorted(shown)


@declares(
    command(create="echo to-stdout; echo to-stderr >&2; exit 7", logging="none"),
    "",
    stack="fails",
)
def test_a_failure_prints_the_script_and_all_its_output_whatever_the_logging(case):
    assert 'exit status 7: running "echo to-stdout;' in case.text(1)
    assert "\nto-stdout" in case.text(1).replace("    ", "")
    assert "to-stderr" in case.text(1)


def test_an_unfinished_create_is_pending_after_the_engine_was_killed(project):
    """`up` writes an operation to the state before it begins."""
    project.declare("local.Command('c', create='kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $$))')")
    assert project.pulumi("up", "--yes", "--skip-preview").code != 0

    export = json.loads(project.pulumi("stack", "export").text)["deployment"]

    assert [operation["type"] for operation in export.get("pending_operations", [])] == ["creating"]


# --- the invoke ---------------------------------------------------------------------------------


@declares("pulumi.export(name, local.run(command='echo asked >>log; echo hello', dir=name).stdout)")
def test_run_runs_in_a_preview_too(case):
    assert "hello" in case.text(0)
    assert case.output(1) == "hello"
    assert [case.read("log", step) for step in (0, 1)] == ["asked\n", "asked\nasked\n"]


@declares(
    "from pulumi_command import remote\n"
    "remote.Command(name, connection=remote.ConnectionArgs(host='127.0.0.1'), create=':')",
    "",
    # On its own stack, because it ends the program.
    stack="remote",
)
def test_a_remote_command_is_an_error(case):
    assert case.code(1) != 0
    assert "remote" in case.text(1).replace(case.name, "")
