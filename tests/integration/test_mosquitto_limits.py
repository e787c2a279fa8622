"""The limits of a stack file are in force on every listener."""

import contextlib

import pytest
from mqtt import Refused
from mqtt_packets import Connection, LoginRefused
from patience import eventually

CLIENTS, QUEUED, INFLIGHT, PACKET = 3, 5, 2, 5000


def _narrow(raw):
    raw["broker"]["limits"] = {
        "maxConnections": CLIENTS,
        "maxQueuedMessages": QUEUED,
        "maxInflightMessages": INFLIGHT,
        "maxPacketSize": PACKET,
    }


@pytest.fixture(scope="module")
def narrow(start):
    return start(_narrow)


def _admitted(running, *, websocket):
    """Return how many clients are admitted at once."""
    with contextlib.ExitStack() as stack:
        for count in range(CLIENTS + 3):
            try:
                stack.enter_context(running.client("admin", websocket=websocket))
            except (Refused, OSError):
                return count
        return CLIENTS + 3


def _client_or_none(running):
    try:
        return running.client("admin")
    except (Refused, OSError):
        return None


def test_max_connections_limits_clients(narrow):
    assert _admitted(narrow, websocket=False) == CLIENTS


def test_clients_are_counted_per_listener(narrow):
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            # The broker may still count clients of the previous test.
            stack.enter_context(eventually(lambda: _client_or_none(narrow), 20))
        narrow.client("admin", websocket=True).close()


def test_max_connections_limits_websockets_on_2_1_only(narrow, line):
    """2.0 leaves these connections to libwebsockets, which has no limit."""
    admitted = _admitted(narrow, websocket=True)
    assert admitted == (CLIENTS if line == "2.1" else CLIENTS + 3)


def test_after_a_reload_2_0_is_limited_by_open_files_only(start, line):
    """A client above the limit is refused, and the broker goes on."""
    running = start(_narrow)
    running.docker("exec", running.broker.container, "kill", "-HUP", "1")
    eventually(lambda: "Reloading config" in running.log(), 20)
    files, login = running.broker.limits.descriptors, ("admin", running.passwords["admin"])
    with contextlib.ExitStack() as stack:
        admitted = 0
        with contextlib.suppress(LoginRefused, OSError):
            for number in range(files + 10):
                stack.enter_context(Connection(running.port, *login, f"held-{number}"))
                admitted += 1
        if line == "2.1":
            assert admitted == CLIENTS
        else:
            # The other files are its listeners, log and database.
            assert files - 30 < admitted < files
            with pytest.raises((LoginRefused, OSError)):
                Connection(running.port, *login, "one-more")
    running.await_answer()


def test_packet_above_the_limit_closes_the_connection(narrow):
    with narrow.client("admin") as observer, narrow.client("admin") as client:
        observer.subscribe("size")
        fits, larger = "f" * (PACKET - 100), "l" * (PACKET + 1)
        assert client.publish("size", fits) == "Success"
        client.publish("size", larger)
        assert client.is_dropped()
        observer.publish("size", "fence")
        observer.got("size", "fence")
        assert [message.text for message in observer.received] == [fits, "fence"]


def test_packet_limit_holds_for_websockets_on_2_1_only(narrow, line):
    """2.0 leaves these connections to libwebsockets; broker/mosquitto/websocket_limits.py."""
    with narrow.client("admin", websocket=True) as client:
        answer = client.publish("size", "l" * (PACKET + 1))
        assert client.disconnected or line == "2.0"
        assert answer == "No matching subscribers" or line == "2.1"


def test_packet_limit_of_production_is_above_the_default_of_2_1(start):
    with start().client("admin") as client:
        assert client.publish("size", b"x" * 3_000_000) == "No matching subscribers"


def test_disconnected_client_gets_as_many_messages_as_are_queued(narrow):
    narrow.client("admin", session="away").close()
    with narrow.client("admin", session="away") as away:
        away.subscribe("queue/#")
    with narrow.client("admin") as sender:
        for number in range(QUEUED + 4):
            sender.publish("queue/message", str(number))
    with narrow.client("admin", session="away") as back:
        with narrow.client("admin") as sender:
            back.got("queue/message", str(QUEUED - 1))
            sender.publish("queue/fence")
        back.got("queue/fence")
        assert [message.text for message in back.received if message.topic == "queue/message"] == [
            str(number) for number in range(QUEUED)
        ]


def test_client_that_does_not_acknowledge_gets_the_in_flight_limit(narrow):
    with narrow.client("admin", acknowledge=False) as slow, narrow.client("admin") as sender:
        slow.subscribe("flight/#")
        for number in range(INFLIGHT + 2):
            sender.publish("flight/message", str(number))
        # QoS 0 is not held back, so nothing arrives after the fence.
        sender.publish("flight/fence", qos=0)
        slow.got("flight/fence")
        assert [message.text for message in slow.received if message.topic == "flight/message"] == [
            str(number) for number in range(INFLIGHT)
        ]


def test_declared_log_types_are_logged(start):
    def with_debug(raw):
        raw["broker"]["logging"] = {"types": ["error", "warning", "notice", "debug"]}

    chatty = start(with_debug)
    with chatty.client("paragon_devices") as client:
        client.publish("elsewhere")
    assert "Denied PUBLISH" in chatty.log()
