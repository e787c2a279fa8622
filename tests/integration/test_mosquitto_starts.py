"""Mosquitto starts on the rendered files without a warning and admits only the declared users."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mqtt import login_error

BOTH = pytest.mark.parametrize("websocket", [False, True], ids=["mqtt", "websocket"])


@pytest.fixture(scope="module")
def running(start):
    return start()


def test_production_files_start_without_a_warning(running):
    log = running.log()
    assert f"Opening ipv4 listen socket on port {running.port}" in log
    assert "running" in log
    assert "warning" not in log.lower()
    assert "error" not in log.lower()


def test_log_is_on_the_disk(running):
    log = Path(running.broker.folders.log) / "mosquitto.log"
    assert "running" in log.read_text()
    assert log.stat().st_uid == 1883


@BOTH
def test_users_log_in_with_the_computed_hashes(running, websocket):
    for name in running.passwords:
        running.client(name, websocket=websocket).close()


@BOTH
def test_wrong_password_unknown_name_and_no_name_are_refused(running, websocket):
    port = running.broker.listeners["websocket" if websocket else "mqtt"].port
    for name in running.passwords:
        assert login_error(port, name, "wrong", websocket=websocket) == "Not authorized"
    assert login_error(port, "nobody", "wrong", websocket=websocket) == "Not authorized"
    assert login_error(port, None, None, websocket=websocket) == "Not authorized"


def test_health_check_logs_in_without_a_password_in_its_arguments(running):
    assert "seconds" in running.health_check()


def test_health_check_without_its_options_file_is_refused(running, docker: Callable[..., str]):
    answer = docker(
        *("exec", "--env", "XDG_CONFIG_HOME=/nonexistent", running.broker.container),
        *("mosquitto_sub", "-h", "127.0.0.1", "-p", str(running.port), "-W", "2"),
        *("-t", "$SYS/broker/uptime", "-C", "1"),
        check=False,
    )
    assert "uthori" in answer


def test_permitted_and_denied_publish_of_every_user(running):
    """One permitted and one denied publish per user; tests/e2e tries every rule."""
    for name, permitted in {
        "admin": "anything/at/all",
        "sentient_api_prod": "paragon/room/x",
        "paragon_devices": "paragon/room/sensors/x",
        running.broker.health.user: None,
    }.items():
        with running.client(name) as client:
            if permitted:
                assert client.publish(permitted) in ("Success", "No matching subscribers")
            if name != "admin":
                assert client.publish("elsewhere") == "Not authorized"
