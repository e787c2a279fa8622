"""Who is declared against who was seen."""

import pytest
from declared import smallest

from broker.logs.inventory import inventory, render_inventory
from broker.logs.log_parser import LogSummary
from broker.settings.stack_settings import Settings

DAY = "2026-01-02"


@pytest.fixture
def settings():
    raw = smallest()
    raw["users"] |= {
        "silent": {"read": ["a"]},
        "never": {"read": ["a"]},
        "turns": {"read": ["a"], "rotation": "overlap", "generation": "2"},
    }
    raw["fleets"] = {"teensy": {"count": 2, "prefix": "teensy-", "write": ["paragon/%u/x"]}}
    return Settings.parse(raw)


def let_in(peer, client, user):
    return f"New client connected from {peer} as {client} (p2, c1, k60, u'{user}')."


def seen(*texts):
    return LogSummary().read(f"{DAY}T03:04:{n:02}: {text}" for n, text in enumerate(texts))


LOG = (
    let_in("192.168.1.5:1", "sensor-1", "sensor"),
    let_in("192.168.1.6:1", "silent-1", "silent"),
    "Client silent-1 [192.168.1.6:1] disconnected: keepalive timeout.",
    let_in("192.168.1.7:1", "t1", "teensy-001"),
    let_in("192.168.1.8:1", "g", "turns-green"),
    let_in("127.0.0.1:9", "health-77", "healthcheck"),
    let_in("10.9.9.9:1", "old", "gone"),
    "Client g\u202euess [192.168.1.9:1] disconnected: not authorised.",
    let_in("172.18.0.1:1", "sensor-2", "sensor"),
)


def test_each_declared_login_is_connected_silent_or_was_never_seen(settings):
    found = {each.name: each for each in inventory(settings, seen(*LOG)).entries}

    assert {name: each.state for name, each in found.items()} == {
        "sensor": "connected",
        "silent": "silent",
        "never": "never",
        "turns": "connected",
        "teensy-001": "connected",
        "teensy-002": "never",
    }
    assert found["silent"].as_data() == {
        "name": "silent",
        "kind": "user",
        "state": "silent",
        "since": "2026-01-02T03:04:02Z",
        "client": "silent-1",
        "address": "192.168.1.6",
    }
    assert found["teensy-001"].kind == "fleet teensy"


def test_strangers_are_told_of(settings):
    found = inventory(settings, seen(*LOG), own=["172.18.0.1"])

    assert [each.name for each in found.undeclared] == ["gone"]
    assert [each.name for each in found.clients] == ["g\u202euess"]
    assert [(each.name, each.address) for each in found.outside] == [("gone", "10.9.9.9")]
    assert inventory(settings, seen(*LOG)).outside[-1].address == "172.18.0.1"


def test_who_calls_itself_a_check_is_no_less_a_stranger(settings):
    log = seen(
        let_in("10.6.6.6:1", "check-01", "mallory"), let_in("10.6.6.7:1", "check-02", "never")
    )
    found = inventory(settings, log)
    assert [(each.name, each.address) for each in found.undeclared] == [("mallory", "10.6.6.6")]
    assert {each.name: each.state for each in found.entries}["never"] == "never"


def test_without_networks_nobody_is_outside():
    raw = smallest()
    raw["broker"]["listeners"]["mqtt"] = {"port": 1883}
    assert inventory(Settings.parse(raw), seen(*LOG)).outside == ()


def test_lines_for_a_person_steer_no_terminal(settings):
    lines = render_inventory(inventory(settings, seen(*LOG)))

    assert lines[0] == "since 2026-01-02T03:04:00Z, where the log begins:"
    assert "never connected: teensy-002 (fleet teensy)" in lines
    assert "silent since 2026-01-02T03:04:02Z: silent (user), as silent-1 from 192.168.1.6" in lines
    assert any("g\\u202euess from 192.168.1.9, 1 times" in each for each in lines)


def test_an_id_that_is_long_fills_no_terminal(settings):
    found = inventory(settings, seen(f"Client {'x' * 900} disconnected, not authorised."))
    (line,) = [each for each in render_inventory(found) if "refused" in each]
    assert f"{'x' * 100}... from" in line


def test_an_empty_log_accuses_nobody(settings):
    found = inventory(settings, LogSummary())
    assert render_inventory(found) == ["The log holds nothing yet: nobody can tell who was here."]
