"""The inventory: declared logins and the connections in the log."""

from datetime import datetime

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


def summary_of(*texts):
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


def test_declared_logins_are_connected_silent_or_never_connected(settings):
    entries = {entry.name: entry for entry in inventory(settings, summary_of(*LOG)).entries}

    assert {name: entry.state for name, entry in entries.items()} == {
        "sensor": "connected",
        "silent": "silent",
        "never": "never",
        "turns": "connected",
        "teensy-001": "connected",
        "teensy-002": "never",
    }
    assert entries["silent"].as_data() == {
        "name": "silent",
        "kind": "user",
        "state": "silent",
        "since": "2026-01-02T03:04:02Z",
        "client": "silent-1",
        "address": "192.168.1.6",
    }
    assert entries["teensy-001"].kind == "fleet teensy"


def test_undeclared_users_clients_and_addresses_are_listed(settings):
    found = inventory(settings, summary_of(*LOG), own=["172.18.0.1"])

    assert [user.name for user in found.undeclared] == ["gone"]
    assert [client.name for client in found.clients] == ["g\u202euess"]
    assert [(user.name, user.address) for user in found.outside] == [("gone", "10.9.9.9")]
    assert inventory(settings, summary_of(*LOG)).outside[-1].address == "172.18.0.1"


def test_client_id_of_a_check_does_not_hide_an_undeclared_user(settings):
    log = summary_of(
        let_in("10.6.6.6:1", "check-01", "mallory"), let_in("10.6.6.7:1", "check-02", "never")
    )
    found = inventory(settings, log)
    assert [(user.name, user.address) for user in found.undeclared] == [("mallory", "10.6.6.6")]
    assert {entry.name: entry.state for entry in found.entries}["never"] == "never"


def test_addresses_that_clients_claim_are_marked_and_other_text_is_ignored(settings):
    """A WebSocket client of 2.0 chooses what its login names as the peer."""
    found = inventory(
        settings,
        summary_of(
            *(let_in("not-an-address:0", "c", "silent"), let_in("10.9.9.9:0", "c", "silent")),
            let_in("10.9.9.9, 192.168.1.1:0", "c", "silent"),
        ),
    )

    assert [stranger.address for stranger in found.outside] == ["10.9.9.9 (X-Forwarded-For)"]
    assert "as c from unknown" in "\n".join(render_inventory(found))


def test_address_that_the_host_had_in_a_former_network_is_not_outside(settings):
    def outside(since, *addresses):
        log = summary_of(*(let_in(f"{address}:1", "c", "silent") for address in addresses))
        found = inventory(settings, log, network_since=datetime.fromisoformat(since))
        return [stranger.address for stranger in found.outside]

    other = ("10.9.9.1", "172.18.0.7")
    after = f"{DAY}T04:00:00+00:00"
    assert outside(after, "172.18.0.1", *other) == list(other)
    assert outside(f"{DAY}T03:00:00+00:00", "172.18.0.1") == ["172.18.0.1"]


def test_without_networks_no_address_is_outside():
    raw = smallest()
    raw["broker"]["listeners"]["mqtt"] = {"port": 1883}
    assert inventory(Settings.parse(raw), summary_of(*LOG)).outside == ()


def test_rendered_lines_contain_no_control_characters(settings):
    lines = render_inventory(inventory(settings, summary_of(*LOG)))

    assert lines[0] == "since 2026-01-02T03:04:00Z, when the log begins:"
    assert "never connected: teensy-002 (fleet teensy)" in lines
    assert "silent since 2026-01-02T03:04:02Z: silent (user), as silent-1 from 192.168.1.6" in lines
    assert any("g\\u202euess from 192.168.1.9, 1 times" in line for line in lines)


def test_long_client_id_is_shortened(settings):
    found = inventory(settings, summary_of(f"Client {'x' * 900} disconnected, not authorised."))
    (line,) = [line for line in render_inventory(found) if "refused" in line]
    assert f"{'x' * 100}... from" in line


def test_inventory_of_an_empty_log(settings):
    found = inventory(settings, LogSummary())
    assert render_inventory(found) == ["The log is empty: it shows no connections yet."]
