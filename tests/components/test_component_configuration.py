"""Configuration and env files are installed in order, with their secrets on stdin only."""

import pytest
from declared import smallest
from fake_engine import COMMAND, everything_plain, is_secret, unwrap
from pulumi import Output

from broker.logs.logrotate import render_logrotate
from broker.settings.stack_settings import Settings
from components import Configuration, EnvFiles

LOGROTATE = "configuration-logrotate-mosquitto-test"
CONF, ACL = "listener 1883\n", "user a\n"
SECRETS = {"passwd": "a:$7$hash\n", "health_password": "h3alth", "seed": "s33d"}


@pytest.fixture
def configured(engine, broker, here, record):
    engine.run(
        lambda: Configuration(
            "configuration",
            broker=broker,
            transport=here,
            image="image:1",
            conf=CONF,
            acl=ACL,
            stamps={"sensor": "1 32"},
            record=record,
            **{name: Output.secret(value) for name, value in SECRETS.items()},
        )
    )
    return engine


def test_folders_are_created_before_files(configured):
    created = list(configured.of_type(COMMAND))
    # logrotate depends on the folders only, so its order among the others varies.
    assert created.index("configuration-folders") < created.index(LOGROTATE)
    assert [name for name in created if name != LOGROTATE] == [
        "configuration-folders",
        "configuration-files",
    ]
    (dependency,) = configured.options["configuration-files"].depends_on
    assert dependency._name == "configuration-folders"


def test_logrotate_configuration_depends_on_the_folders(configured, broker):
    (dependency,) = configured.options[LOGROTATE].depends_on
    assert dependency._name == "configuration-folders"
    path = "/etc/logrotate.d/sentient-mqtt-mosquitto-test"
    shown = configured.shown_of(LOGROTATE)
    assert shown == {path: render_logrotate(broker), "revision": "3"}
    stdin = unwrap(configured.inputs_of(LOGROTATE)["stdin"])
    assert f"\nrotated {broker.folders.log}/mosquitto.log {path} 0644 0 0 " in stdin
    assert stdin.endswith("finish\nrecord\n")


def test_a_preview_shows_conf_and_rules_line_by_line(configured):
    shown = configured.shown_of("configuration-files")

    assert shown == {"mosquitto.conf": CONF, "mosquitto.acl": ACL, "revision": "3"}


def test_hashes_and_passwords_are_on_stdin_only(configured):
    stdin = configured.inputs_of("configuration-files")["stdin"]

    assert is_secret(stdin)
    assert SECRETS["passwd"] in unwrap(stdin)
    assert f"-P {SECRETS['health_password']}\n" in unwrap(stdin)
    assert SECRETS["seed"] not in unwrap(stdin)
    for args in configured.created.values():
        assert not [secret for secret in SECRETS.values() if secret in everything_plain(args)]


def test_the_script_gets_container_and_image(configured):
    stdin = unwrap(configured.inputs_of("configuration-files")["stdin"])

    assert "\nbroker mosquitto-test unix:///var/run/docker.sock 1883 /srv/mqtt/config" in stdin
    assert "\nimage image:1\n" in stdin


@pytest.fixture
def env_files(engine, here, record):
    def make(*files):
        broker = Settings.parse(smallest(envFiles=[*files])).broker
        engine.run(
            lambda: EnvFiles(
                "envfiles",
                broker=broker,
                stack="test",
                transport=here,
                image="image:1",
                record=record,
                active={"sensor": "sensor", "another": "another"},
                passwords={
                    "sensor": Output.secret("s3nsor"),
                    "another": Output.secret("an0ther"),
                },
            )
        )
        return engine

    return make


def test_an_env_file_is_written_from_stdin_and_a_preview_shows_path_and_user(env_files):
    engine = env_files({"path": "/etc/mqtt.env", "user": "sensor"})

    stdin = engine.inputs_of("envfiles-/etc/mqtt.env")["stdin"]
    assert is_secret(stdin)
    assert "\nenv_file /etc/mqtt.env 0600 0 0 <<" in unwrap(stdin)
    assert "\nMQTT_PASSWORD=s3nsor\n" in unwrap(stdin)
    assert engine.shown_of("envfiles-/etc/mqtt.env") == {
        "/etc/mqtt.env": "sensor",
        "revision": "3",
    }


def test_passwords_of_users_without_an_env_file_are_not_sent(env_files):
    engine = env_files({"path": "/etc/mqtt.env", "user": "sensor"})

    assert "an0ther" not in unwrap(engine.inputs_of("envfiles-/etc/mqtt.env")["stdin"])


def test_each_env_file_is_a_separate_resource(env_files):
    engine = env_files(
        {"path": "/etc/one.env", "user": "sensor"}, {"path": "/etc/two.env", "user": "sensor"}
    )

    assert set(engine.of_type(COMMAND)) == {"envfiles-/etc/one.env", "envfiles-/etc/two.env"}
    assert "/etc/one.env" not in unwrap(engine.inputs_of("envfiles-/etc/two.env")["stdin"])


def test_without_env_files_there_is_no_command(env_files):
    assert env_files().of_type(COMMAND) == {}
