"""Whatever a broker answers, no client of a command is left behind, nor connects again."""

import socket
import threading
from contextlib import suppress

import pytest
from declared import smallest

import cli.connection
import cli.expect
import cli.login
from broker.settings.stack_settings import Settings
from cli.connection import Connection
from cli.credentials import Credential
from cli.refusals import Refusal

# MQTT 5, 3.2: packet type, length, flags, reason code, no properties.
LET_IN = b"\x20\x03\x00\x00\x00"
REFUSED = b"\x20\x03\x00\x87\x00"
CONNECT = 0x10


class Broker:
    """Answers CONNECT with *answer*, and whatever comes next by ending the connection."""

    def __init__(self, answer):
        self.answer = answer
        self.connections = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with suppress(OSError):
            while True:
                self.converse(self.server.accept()[0])

    def converse(self, client):
        self.connections += 1
        with client, suppress(OSError):
            while packet := client.recv(4096):
                if packet[0] != CONNECT:
                    return
                if self.answer == REFUSED:
                    client.sendall(REFUSED)
                    return
                client.sendall(self.answer)


@pytest.fixture
def serve():
    opened = []

    def start(answer):
        opened.append(Broker(answer))
        return opened[-1]

    yield start
    for broker in opened:
        broker.server.close()


@pytest.fixture
def wait(monkeypatch):
    """Shorten the wait for an answer where there will be none."""

    def shorten(answer):
        if not answer:
            for module in (cli.connection, cli.expect, cli.login):
                monkeypatch.setattr(module, "SECONDS", 1)

    return shorten


def declared(broker):
    listeners = {"mqtt": {"port": broker.port, "bindAddress": "127.0.0.1"}}
    return Settings.parse(smallest(address="127.0.0.1", listeners=listeners)).broker


def of_expect(broker):
    listener = declared(broker).password_listener()
    return cli.expect._Client("127.0.0.1", listener, "", "sensor", "s3cret")


def of_connection(broker):
    settings = declared(broker)
    login = Credential("sensor", "s3cret")
    return Connection(settings, settings.password_listener(), login, "")


def left_behind():
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("paho-mqtt-client")]


@pytest.mark.parametrize("connect", [of_expect, of_connection])
@pytest.mark.parametrize(("answer", "said"), [(REFUSED, "refused"), (b"", "no answer within 1 ")])
def test_a_client_that_is_not_let_in_ends(serve, wait, connect, answer, said):
    wait(answer)
    broker = serve(answer)

    with pytest.raises(Refusal, match=said):
        connect(broker)

    assert left_behind() == []
    assert broker.connections == 1


@pytest.mark.parametrize(
    "ask", [lambda client: client.publish("a"), lambda client: client.subscribe("a")]
)
def test_an_expectation_that_ends_the_connection_is_not_taken_for_an_answer(serve, ask):
    broker = serve(LET_IN)
    client = of_expect(broker)

    with pytest.raises(Refusal, match="the broker ended the connection"):
        ask(client)

    client.close()
    assert left_behind() == []
    assert broker.connections == 1


@pytest.mark.parametrize("answer", [REFUSED, LET_IN, b""])
def test_a_login_that_is_tried_leaves_nothing(serve, wait, answer):
    wait(answer)
    broker = serve(answer)

    cli.login.login("127.0.0.1", declared(broker).password_listener(), "sensor", "s3cret")

    assert left_behind() == []
    assert broker.connections == 1
