"""A stack file is read as Pulumi reads it, and its errors are reported before Pulumi runs."""

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


def error_of(folder, text):
    (folder / "Pulumi.test.yaml").write_text(text)
    with pytest.raises(CommandError) as error:
        Stack.read("test", folder)
    return str(error.value)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_stack_files_of_this_repository_are_read(name):
    stack = Stack.read(name)

    assert stack.file == ROOT / f"Pulumi.{name}.yaml"
    assert "admin" in stack.settings.users
    assert stack.transport.host == "unix:///var/run/docker.sock"


def test_a_missing_file_is_an_error_that_names_the_others(folder):
    (folder / "Pulumi.prod.yaml").write_text("")
    (folder / "Pulumi.yaml").write_text("name: x\n")

    with pytest.raises(CommandError) as error:
        Stack.read("tset", folder)

    assert str(error.value) == (
        "--stack tset: there is no Pulumi.tset.yaml. There are: prod, test."
    )


def test_invalid_yaml_is_an_error_with_its_line(folder):
    message = error_of(folder, "config:\n  a: [1\n")

    assert message.startswith("Pulumi.test.yaml is not YAML: ")
    assert "line 3" in message


@pytest.mark.parametrize(
    "value",
    [
        "[" * 5_000 + "]" * 5_000,
        "{a: " * 5_000 + "}" * 5_000,
        "[" * 100_000,
        "\n" + "".join(f"{' ' * (4 + depth)}a:\n" for depth in range(1_000)),
        "\n    " + "- " * 100_000,
    ],
    ids=["lists", "mappings", "open lists", "blocks", "entries in a line"],
)
def test_a_deeply_nested_file_is_an_error(folder, value):
    """Python's YAML ends in a RecursionError, or in a crash of libyaml."""
    message = error_of(folder, f"config:\n  sentient-mqtt:broker: {value}\n")
    assert message == "Pulumi.test.yaml: is nested more than 100 levels deep"


def test_brackets_in_texts_are_no_nesting(folder):
    (folder / "Pulumi.test.yaml").write_text(text_of() + f"description: '{'[' * 500}'\n")
    assert Stack.read("test", folder).settings.users


def test_a_file_in_another_encoding_is_an_error_with_its_line(folder):
    (folder / "Pulumi.test.yaml").write_bytes(text_of().encode() + "# caf\xe9\n".encode("latin-1"))

    with pytest.raises(
        CommandError, match=r"^Pulumi\.test\.yaml, line \d+: is not UTF-8"
    ) as raised:
        Stack.read("test", folder)
    assert "iconv -f LATIN1 -t UTF-8 Pulumi.test.yaml" in str(raised.value)


@pytest.mark.parametrize("text", ["[]", "config: []", "config: x"])
def test_a_file_without_config_is_an_error(folder, text):
    assert error_of(folder, text) == (
        "Pulumi.test.yaml: has no mapping 'config:' (sentient-mqtt:broker, ...)."
    )


@pytest.mark.parametrize("text", ["", "config: {}", "config:", "encryptionsalt: v1:x"])
def test_an_empty_file_lacks_the_required_keys(folder, text):
    message = error_of(folder, text)

    assert message.startswith("Pulumi.test.yaml:\nsentient-mqtt:broker: is required")
    # Two keys, and a fix for each.
    assert len(message.splitlines()) == 1 + 2 * 2


@pytest.mark.parametrize(
    "text",
    [
        "config: {}\nconfig: {}\n",
        "config:\n  sentient-mqtt:users: {}\n  sentient-mqtt:users: {}\n",
        "config:\n  sentient-mqtt:users:\n    alice: {}\n    alice: {}\n",
        "config:\n  sentient-mqtt:users:\n    alice: {}\n    'alice': {}\n",
        "config:\n  sentient-mqtt:users:\n    alice: {read: [a], read: [b]}\n",
    ],
)
def test_a_duplicate_key_is_an_error(folder, text):
    message = error_of(folder, text)

    assert "duplicate key" in message
    assert "line " in message


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "{a: 1}: b\n", "config:\n  ? - x\n  : y\n"])
def test_a_key_that_is_no_text_is_an_error(folder, text):
    assert "a key must be text" in error_of(folder, text)


def test_merged_mappings_are_not_duplicate_keys(folder):
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
def test_words_are_text_as_in_pulumi(folder, word):
    """In YAML 1.1 these are booleans and numbers."""
    text = text_of().replace(
        "  sentient-mqtt:users:",
        f"  sentient-mqtt:topics: {{{word}: {word}}}\n  sentient-mqtt:users:",
    )
    if word == "1:30":
        assert "a name is 1 to 64" in error_of(folder, text)
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


def test_yaml_cannot_create_objects(folder):
    assert "is not YAML" in error_of(folder, "config: !!python/object/apply:os.getcwd []\n")


def test_an_error_in_the_settings_follows_the_name_of_the_file(folder):
    message = error_of(folder, text_of(SMALLEST | {"users": {}}))

    name, line = message.splitlines()
    assert name == "Pulumi.test.yaml:"
    assert line.startswith("sentient-mqtt:users: {}: no user is declared")


def test_settings_of_other_projects_are_ignored(folder):
    text = text_of(encryptionsalt="v1:x", secretsprovider="awskms://alias/x")
    (folder / "Pulumi.test.yaml").write_text(text.replace("config:", "config:\n  aws:region: x", 1))

    assert Stack.read("test", folder).secrets_provider == "awskms://alias/x"


@pytest.mark.parametrize(
    ("passwords", "lines"), [({"lamp": {"secure": "v1:a"}}, 0), ({"lamp": "correct horse"}, 1)]
)
def test_a_secret_in_clear_text_is_detected(folder, passwords, lines):
    (folder / "Pulumi.test.yaml").write_text(text_of(SMALLEST | {"passwords": passwords}))

    stack = Stack.read("test", folder)

    assert len(stack.in_clear) == lines
    with pytest.raises(CommandError) if lines else nullcontext() as error:
        stack.refuse_secrets_in_clear()
    if error is not None:
        assert str(error.value).startswith("Pulumi.test.yaml:\nsentient-mqtt:passwords.lamp: is")
        assert "correct horse" not in str(error.value)


@pytest.mark.parametrize("command", ["up", "preview", "rotate --all"])
def test_a_secret_in_clear_text_stops_every_changing_command(desk, command):
    desk.file.write_text(text_of(SMALLEST | {"hashes": {"lamp": "$7$1$a$b"}}))

    with pytest.raises(CommandError, match=r"hashes\.lamp: is in plain text"):
        desk.run(*command.split())
    assert desk.calls() == []
