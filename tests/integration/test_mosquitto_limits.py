"""The limits that a stack file sets are in force, on each listener."""

import contextlib

import pytest
from mqtt import Refused
from mqtt_packets import Connection, TurnedAway
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
    """Return how many clients are let in at once, of more than the limit."""
    with contextlib.ExitStack() as stack:
        for count in range(CLIENTS + 3):
            try:
                stack.enter_context(running.client("admin", websocket=websocket))
            except (Refused, OSError):
                return count
        return CLIENTS + 3


def _let_in(running):
    try:
        return running.client("admin")
    except (Refused, OSError):
        return None


def test_as_many_clients_as_max_connections_are_let_in(narrow):
    assert _admitted(narrow, websocket=False) == CLIENTS


def test_clients_are_counted_by_listener(narrow):
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            # The broker may still count those of the test before.
            stack.enter_context(eventually(lambda: _let_in(narrow), 20))
        narrow.client("admin", websocket=True).close()


def test_on_websockets_only_21_counts(narrow, line):
    """2.0 leaves these connections to libwebsockets, which takes all that come."""
    admitted = _admitted(narrow, websocket=True)
    assert admitted == (CLIENTS if line == "2.1" else CLIENTS + 3)


def test_after_a_reload_20_counts_nobody_and_the_open_files_are_the_limit(start, line):
    """And who is beyond them is turned away by a broker that goes on."""
    running = start(_narrow)
    running.docker("exec", running.broker.container, "kill", "-HUP", "1")
    eventually(lambda: "Reloading config" in running.log(), 20)
    files, login = running.broker.limits.descriptors, ("admin", running.passwords["admin"])
    with contextlib.ExitStack() as stack:
        admitted = 0
        with contextlib.suppress(TurnedAway, OSError):
            for number in range(files + 10):
                stack.enter_context(Connection(running.port, *login, f"held-{number}"))
                admitted += 1
        if line == "2.1":
            assert admitted == CLIENTS
        else:
            # The rest are its listeners, log and database.
            assert files - 30 < admitted < files
            with pytest.raises((TurnedAway, OSError)):
                Connection(running.port, *login, "one-more")
    running.await_answer()


def test_a_packet_of_the_size_passes_and_a_larger_one_ends_the_connection(narrow):
    with narrow.client("admin") as observer, narrow.client("admin") as client:
        observer.subscribe("size")
        fits, larger = "f" * (PACKET - 100), "l" * (PACKET + 1)
        assert client.publish("size", fits) == "Success"
        client.publish("size", larger)
        assert client.is_dropped()
        observer.publish("size", "fence")
        observer.got("size", "fence")
        assert [each.text for each in observer.received] == [fits, "fence"]


def test_the_packets_of_production_are_larger_than_what_21_takes_by_itself(start):
    with start().client("admin") as client:
        assert client.publish("size", b"x" * 3_000_000) == "No matching subscribers"


def test_a_client_that_is_away_finds_as_many_messages_as_are_queued(narrow):
    narrow.client("admin", session="away").close()
    with narrow.client("admin", session="away") as away:
        away.subscribe("queue/#")
    with narrow.client("admin") as sender:
        for number in range(QUEUED + 4):
            sender.publish("queue/it", str(number))
    with narrow.client("admin", session="away") as back:
        with narrow.client("admin") as sender:
            back.got("queue/it", str(QUEUED - 1))
            sender.publish("queue/fence")
        back.got("queue/fence")
        assert [each.text for each in back.received if each.topic == "queue/it"] == [
            str(number) for number in range(QUEUED)
        ]


def test_a_client_that_does_not_acknowledge_gets_no_more_than_are_in_flight(narrow):
    with narrow.client("admin", acknowledge=False) as slow, narrow.client("admin") as sender:
        slow.subscribe("flight/#")
        for number in range(INFLIGHT + 2):
            sender.publish("flight/it", str(number))
        # QoS 0 is not held back, so what is there before the fence is all there will be.
        sender.publish("flight/fence", qos=0)
        slow.got("flight/fence")
        assert [each.text for each in slow.received if each.topic == "flight/it"] == [
            str(number) for number in range(INFLIGHT)
        ]


def test_the_types_that_are_logged_are_those_that_were_chosen(start):
    def with_debug(raw):
        raw["broker"]["logging"] = {"types": ["error", "warning", "notice", "debug"]}

    chatty = start(with_debug)
    with chatty.client("paragon_devices") as client:
        client.publish("elsewhere")
    assert "Denied PUBLISH" in chatty.log()
