"""mosquitto.conf, rendered from the settings."""

import pytest
from declared import settings_of, smallest

from broker.mosquitto.mosquitto_conf import LARGEST_ANNOUNCED, render_conf
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import Settings, SettingsError


def lines_of(**broker):
    return render_conf(Settings.parse(smallest(**broker)).broker).splitlines()


def test_prod_has_the_tuning_of_the_manual_setup_guide():
    lines = render_conf(settings_of("prod").broker).splitlines()

    assert {
        "allow_anonymous false",
        "password_file /mosquitto/config/mosquitto_passwd",
        "acl_file /mosquitto/config/mosquitto.acl",
        "persistence true",
        "persistence_location /mosquitto/data/",
        "autosave_interval 300",
        "autosave_on_changes false",
        "log_dest file /mosquitto/log/mosquitto.log",
        "max_queued_messages 10000",
        "max_inflight_messages 100",
    } <= set(lines)
    # One byte less than in the guide: docs/explanation/decisions/0009-max-packet-size.md.
    assert f"max_packet_size {LARGEST_ANNOUNCED}" in lines


def test_listeners_have_protocol_and_limit():
    text = render_conf(settings_of("prod").broker)

    assert text.endswith(
        "listener 1883\nprotocol mqtt\nmax_connections 10000\n"
        "\n"
        "listener 9001\nprotocol websockets\nmax_connections 10000\n"
    )


def test_options_of_listeners_are_below_a_listener():
    """A limit above the first listener has no effect."""
    lines = render_conf(settings_of("prod").broker).splitlines()

    first = lines.index("listener 1883")
    assert not any(line.startswith(("max_connections", "protocol")) for line in lines[:first])


def test_listener_limit_overrides_the_default():
    lines = lines_of(
        listeners={
            "mqtt": {"port": 1883},
            "web": {"port": 9001, "protocol": "websockets", "maxConnections": 7},
        }
    )

    assert [line for line in lines if line.startswith("max_connections")] == [
        "max_connections 1000",
        "max_connections 7",
    ]


def test_anonymous_clients_are_refused_on_every_listener():
    for stack in ("dev", "prod"):
        lines = render_conf(settings_of(stack).broker).splitlines()
        assert lines.index("allow_anonymous false") < lines.index("listener 1883")
        assert "allow_anonymous true" not in lines


def test_only_log_directives_are_repeated():
    lines = [line for line in lines_of() if line and not line.startswith("#")]
    words = [line.split()[0] for line in lines]

    assert {word for word in words if words.count(word) > 1} <= {"log_dest", "log_type"}


def test_logs_go_to_stdout_and_to_the_declared_file():
    lines = lines_of(logging={"file": "broker.log", "types": ["error", "debug"]})

    assert "log_dest stdout" in lines
    assert "log_dest file /mosquitto/log/broker.log" in lines
    assert [line for line in lines if line.startswith("log_type")] == [
        "log_type error",
        "log_type debug",
    ]


def test_declared_file_names_are_used():
    lines = lines_of(files={"passwords": "users", "acl": "rules"})

    assert "password_file /mosquitto/config/users" in lines
    assert "acl_file /mosquitto/config/rules" in lines


def test_start_digest_changes_only_with_options_that_need_a_start():
    def digest(**sections):
        return start_digest(Settings.parse(smallest() | sections).broker)

    tuned = smallest(limits={"maxQueuedMessages": 5})
    assert digest() != digest(**tuned)
    assert digest() == digest(users={"another": {"read": ["#"]}})
    assert digest() == digest(**smallest(logging={"types": ["error"]}))
    assert digest() == digest(**smallest(persistence={"autosaveInterval": 7}))
    assert digest() != digest(**smallest(logging={"maxFiles": 2}))


def test_reserved_listener_is_on_loopback_with_its_own_limit():
    broker = Settings.parse(smallest()).broker

    assert render_conf(broker, reserved=True) == render_conf(broker) + (
        "\nlistener 11883 127.0.0.1\nprotocol mqtt\nmax_connections 10\n"
    )


def test_reserved_port_is_the_first_free_one():
    listeners = {"mqtt": {"port": 11883}, "web": {"port": 11884, "protocol": "websockets"}}

    assert Settings.parse(smallest(listeners=listeners)).broker.reserved_port == 11885
    assert Settings.parse(smallest(health={"port": 12000})).broker.reserved_port == 12000


def test_reserved_port_of_a_listener_is_rejected():
    with pytest.raises(SettingsError) as refused:
        Settings.parse(smallest(health={"port": 1883}))

    assert "broker.health.port" in str(refused.value)
    assert "1883" in str(refused.value)
    assert "is the port of 'mqtt' already" in str(refused.value)
    assert "choose another" in str(refused.value)
