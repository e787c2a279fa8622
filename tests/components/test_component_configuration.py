"""Configuration and env files reach the host in order, their secrets on stdin alone."""

import pytest
from declared import smallest
from fake_engine import COMMAND, everything_plain, is_secret, unwrap
from pulumi import Output

from broker.logs.logrotate import render_logrotate
from broker.settings.stack_settings import Settings
from components import Configuration, EnvFiles

ROTATED = "configuration-logrotate-mosquitto-test"
CONF, ACL = "listener 1883\n", "user a\n"
SECRETS = {"passwd": "a:$7$hash\n", "health_password": "h3alth", "seed": "s33d"}


@pytest.fixture
def configured(engine, broker, here):
    engine.run(
        lambda: Configuration(
            "configuration",
            broker=broker,
            transport=here,
            image="image:1",
            conf=CONF,
            acl=ACL,
            stamps={"sensor": "1 32"},
            **{name: Output.secret(value) for name, value in SECRETS.items()},
        )
    )
    return engine


def test_folders_come_first_then_files(configured):
    made = list(configured.of_type(COMMAND))
    # After the folders alone: the engine has it or the files first.
    assert made.index("configuration-folders") < made.index(ROTATED)
    assert [each for each in made if each != ROTATED] == [
        "configuration-folders",
        "configuration-files",
    ]
    (before,) = configured.options["configuration-files"].depends_on
    assert before._name == "configuration-folders"


def test_logrotate_gets_its_file_once_the_folder_is_there(configured, broker):
    (before,) = configured.options[ROTATED].depends_on
    assert before._name == "configuration-folders"
    path = "/etc/logrotate.d/sentient-mqtt-mosquitto-test"
    shown = configured.shown_of(ROTATED)
    assert shown == {path: render_logrotate(broker)}
    stdin = unwrap(configured.inputs_of(ROTATED)["stdin"])
    assert f"\nrotated {broker.folders.log}/mosquitto.log {path} 0644 0 0 " in stdin
    assert stdin.endswith("finish\n")


def test_a_preview_shows_conf_and_rules_line_by_line(configured):
    shown = configured.shown_of("configuration-files")

    assert shown == {"mosquitto.conf": CONF, "mosquitto.acl": ACL}


def test_hashes_and_passwords_are_on_stdin_and_nowhere_else(configured):
    stdin = configured.inputs_of("configuration-files")["stdin"]

    assert is_secret(stdin)
    assert SECRETS["passwd"] in unwrap(stdin)
    assert f"-P {SECRETS['health_password']}\n" in unwrap(stdin)
    assert SECRETS["seed"] not in unwrap(stdin)
    for args in configured.created.values():
        assert not [each for each in SECRETS.values() if each in everything_plain(args)]


def test_the_broker_that_reads_them_is_named(configured):
    stdin = unwrap(configured.inputs_of("configuration-files")["stdin"])

    assert "\nbroker mosquitto-test unix:///var/run/docker.sock 1883 /srv/mqtt/config" in stdin
    assert "\nimage image:1\n" in stdin


@pytest.fixture
def env_files(engine, here):
    def make(*files):
        broker = Settings.parse(smallest(envFiles=[*files])).broker
        engine.run(
            lambda: EnvFiles(
                "envfiles",
                broker=broker,
                stack="test",
                transport=here,
                image="image:1",
                active={"sensor": "sensor", "another": "another"},
                passwords={
                    "sensor": Output.secret("s3nsor"),
                    "another": Output.secret("an0ther"),
                },
            )
        )
        return engine

    return make


def test_an_env_file_is_written_from_stdin_and_shown_by_path_and_user(env_files):
    engine = env_files({"path": "/etc/mqtt.env", "user": "sensor"})

    stdin = engine.inputs_of("envfiles-/etc/mqtt.env")["stdin"]
    assert is_secret(stdin)
    assert "\nenv_file /etc/mqtt.env 0600 0 0 <<" in unwrap(stdin)
    assert "\nMQTT_PASSWORD=s3nsor\n" in unwrap(stdin)
    assert engine.shown_of("envfiles-/etc/mqtt.env") == {"/etc/mqtt.env": "sensor"}


def test_passwords_that_no_file_names_go_nowhere(env_files):
    engine = env_files({"path": "/etc/mqtt.env", "user": "sensor"})

    assert "an0ther" not in unwrap(engine.inputs_of("envfiles-/etc/mqtt.env")["stdin"])


def test_each_file_is_a_command_of_its_own_so_that_one_can_go(env_files):
    engine = env_files(
        {"path": "/etc/one.env", "user": "sensor"}, {"path": "/etc/two.env", "user": "sensor"}
    )

    assert set(engine.of_type(COMMAND)) == {"envfiles-/etc/one.env", "envfiles-/etc/two.env"}
    assert "/etc/one.env" not in unwrap(engine.inputs_of("envfiles-/etc/two.env")["stdin"])


def test_where_no_env_file_is_named_there_is_no_command(env_files):
    assert env_files().of_type(COMMAND) == {}
