"""A stack file is read as Pulumi reads it, and what is wrong with it is said before Pulumi runs."""

from contextlib import nullcontext

import pytest
import yaml
from declared import ROOT, SMALLEST

from cli.errors import CommandError
from cli.stack import Stack


def text_of(config=None, **top):
    values = config if config is not None else SMALLEST
    return yaml.safe_dump(
        {"config": {f"sentient-mqtt:{key}": value for key, value in values.items()}, **top}
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Pulumi.test.yaml").write_text(text_of())
    return tmp_path


def refusal(folder, text):
    (folder / "Pulumi.test.yaml").write_text(text)
    with pytest.raises(CommandError) as refused:
        Stack.read("test", folder)
    return str(refused.value)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_two_of_this_repository_are_read(name):
    stack = Stack.read(name)

    assert stack.file == ROOT / f"Pulumi.{name}.yaml"
    assert "admin" in stack.settings.users
    assert stack.transport.host == "unix:///var/run/docker.sock"


def test_one_that_is_not_there_is_told_with_those_that_are(folder):
    (folder / "Pulumi.prod.yaml").write_text("")
    (folder / "Pulumi.yaml").write_text("name: x\n")

    with pytest.raises(CommandError) as refused:
        Stack.read("tset", folder)

    assert str(refused.value) == (
        "--stack tset: there is no Pulumi.tset.yaml. There are: prod, test."
    )


def test_one_that_is_not_yaml_is_told_with_its_line(folder):
    said = refusal(folder, "config:\n  a: [1\n")

    assert said.startswith("Pulumi.test.yaml is not YAML: ")
    assert "line 3" in said


@pytest.mark.parametrize("text", ["[]", "config: []", "config: x"])
def test_one_without_a_config_is_told_what_is_missing(folder, text):
    assert refusal(folder, text) == (
        "Pulumi.test.yaml: has no mapping 'config:' (sentient-mqtt:broker, ...)."
    )


@pytest.mark.parametrize("text", ["", "config: {}", "config:", "encryptionsalt: v1:x"])
def test_one_that_says_nothing_is_asked_for_what_it_must_say(folder, text):
    said = refusal(folder, text)

    assert said.startswith("Pulumi.test.yaml:\nsentient-mqtt:broker: is required")
    # Two keys, each with its way out.
    assert len(said.splitlines()) == 1 + 2 * 2


@pytest.mark.parametrize(
    "twice",
    [
        "config: {}\nconfig: {}\n",
        "config:\n  sentient-mqtt:users: {}\n  sentient-mqtt:users: {}\n",
        "config:\n  sentient-mqtt:users:\n    alice: {}\n    alice: {}\n",
        "config:\n  sentient-mqtt:users:\n    alice: {}\n    'alice': {}\n",
        "config:\n  sentient-mqtt:users:\n    alice: {read: [a], read: [b]}\n",
    ],
)
def test_a_name_that_stands_there_twice_is_refused_and_not_the_last_one_taken(folder, twice):
    said = refusal(folder, twice)

    assert "stands there twice" in said
    assert "line " in said


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "{a: 1}: b\n", "config:\n  ? - x\n  : y\n"])
def test_a_name_that_is_no_text_is_refused(folder, text):
    assert "a name must be text" in refusal(folder, text)


def test_merged_mappings_are_not_names_that_stand_there_twice(folder):
    folder.joinpath("Pulumi.test.yaml").write_text(
        text_of(SMALLEST | {"users": {}}).replace(
            "sentient-mqtt:users: {}",
            "sentient-mqtt:users:\n    a: &a {read: [x], write: [y]}\n"
            "    b: {<<: *a, write: [z]}\n    c: {<<: *a}",
        )
    )

    users = Stack.read("test", folder).settings.users

    assert (users["b"].read, users["b"].write) == (("x",), ("z",))
    assert users["c"] == users["a"]


@pytest.mark.parametrize("word", ["no", "off", "on", "yes", "1:30"])
def test_words_are_what_pulumi_takes_them_for(folder, word):
    """YAML 1.1 has truth values and numbers there; Pulumi's reader has text."""
    text = text_of().replace(
        "  sentient-mqtt:users:",
        f"  sentient-mqtt:topics: {{{word}: {word}}}\n  sentient-mqtt:users:",
    )
    if word == "1:30":
        assert "a name is 1 to 64" in refusal(folder, text)
        return
    (folder / "Pulumi.test.yaml").write_text(text)

    assert Stack.read("test", folder).settings.topics == {word: word}


def test_a_restart_policy_of_no_needs_no_quotes(folder):
    config = SMALLEST | {"broker": {**SMALLEST["broker"], "restart": "POLICY"}}
    (folder / "Pulumi.test.yaml").write_text(text_of(config).replace("POLICY", "no"))

    assert Stack.read("test", folder).settings.broker.restart == "no"


def test_true_is_still_true(folder):
    config = SMALLEST | {"broker": {**SMALLEST["broker"], "allowStandIn": True}}
    (folder / "Pulumi.test.yaml").write_text(text_of(config))

    assert Stack.read("test", folder).settings.broker.allow_stand_in is True


def test_a_user_called_7_is_a_name(folder):
    config = SMALLEST | {"users": {"NAME": {"read": ["a"]}}}
    (folder / "Pulumi.test.yaml").write_text(text_of(config).replace("NAME", "7"))

    assert list(Stack.read("test", folder).settings.users) == ["7"]


def test_yaml_can_make_no_objects(folder):
    assert "is not YAML" in refusal(folder, "config: !!python/object/apply:os.getcwd []\n")


def test_what_settings_refuse_is_told_below_the_files_name(folder):
    said = refusal(folder, text_of(SMALLEST | {"users": {}}))

    name, line = said.splitlines()
    assert name == "Pulumi.test.yaml:"
    assert line.startswith("sentient-mqtt:users: {}: nobody could log in")


def test_the_settings_of_others_are_none_of_our_business(folder):
    text = text_of(encryptionsalt="v1:x", secretsprovider="awskms://alias/x")
    (folder / "Pulumi.test.yaml").write_text(text.replace("config:", "config:\n  aws:region: x", 1))

    assert Stack.read("test", folder).secrets_provider == "awskms://alias/x"


@pytest.mark.parametrize(
    ("passwords", "lines"), [({"lamp": {"secure": "v1:a"}}, 0), ({"lamp": "correct horse"}, 1)]
)
def test_a_secret_in_clear_is_known_and_refused_when_that_is_asked(folder, passwords, lines):
    (folder / "Pulumi.test.yaml").write_text(text_of(SMALLEST | {"passwords": passwords}))

    stack = Stack.read("test", folder)

    assert len(stack.in_clear) == lines
    with pytest.raises(CommandError) if lines else nullcontext() as refused:
        stack.refuse_secrets_in_clear()
    if refused is not None:
        assert str(refused.value).startswith("Pulumi.test.yaml:\nsentient-mqtt:passwords.lamp: is")
        assert "correct horse" not in str(refused.value)


@pytest.mark.parametrize("command", ["up", "preview", "rotate --all"])
def test_nothing_is_built_or_run_for_a_stack_with_a_secret_in_clear(desk, command):
    desk.file.write_text(text_of(SMALLEST | {"hashes": {"lamp": "$7$1$a$b"}}))

    with pytest.raises(CommandError, match=r"hashes\.lamp: is in clear"):
        desk.run(*command.split())
    assert desk.calls() == []
