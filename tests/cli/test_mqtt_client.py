"""Whatever a broker answers, the client leaves no thread behind and does not reconnect."""

import socket
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from declared import smallest

import cli.mqtt_client
import cli.observe.login_attempt
from broker.settings.stack_settings import Settings
from cli.errors import CommandError
from cli.mqtt_client import MqttClient, UnreachableError
from cli.observe.login_attempt import try_login
from cli.users.credentials import Credential

# MQTT 5, 3.2: packet type, length, flags, reason code, no properties.
ACCEPTED = b"\x20\x03\x00\x00\x00"
REFUSED = b"\x20\x03\x00\x87\x00"
CONNECT = 0x10


class Broker:
    """Answers CONNECT with *answer*, and ends the connection at the next packet."""

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
    """Shorten the wait for an answer if there will be none."""

    def shorten(answer):
        if not answer:
            for module in (cli.mqtt_client, cli.observe.login_attempt):
                monkeypatch.setattr(module, "SECONDS", 1)

    return shorten


def declared(broker):
    listeners = {"mqtt": {"port": broker.port, "bindAddress": "127.0.0.1"}}
    return Settings.parse(smallest(address="127.0.0.1", listeners=listeners)).broker


def client_of(broker):
    settings = declared(broker)
    login = Credential("sensor", "s3cret")
    return MqttClient(settings, settings.password_listener(), login, "")


def left_behind():
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("paho-mqtt-client")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [(REFUSED, "refused the login of 'sensor': Not authorized"), (b"", "no answer within 1 ")],
)
def test_a_refused_client_is_closed(serve, wait, answer, message):
    wait(answer)
    broker = serve(answer)

    with pytest.raises(CommandError, match=message), client_of(broker):
        pass

    assert left_behind() == []
    assert broker.connections == 1


@pytest.mark.parametrize(
    "ask", [lambda client: client.publish("a"), lambda client: client.subscribe("a")]
)
def test_the_end_of_the_connection_is_not_taken_for_an_answer(serve, ask):
    broker = serve(ACCEPTED)

    with (
        pytest.raises(CommandError, match="the broker ended the connection"),
        client_of(broker) as client,
    ):
        ask(client)

    assert left_behind() == []
    assert broker.connections == 1


def test_a_closed_port_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = SimpleNamespace(port=server.getsockname()[1])

    with pytest.raises(UnreachableError, match=r"can't be reached from here: ") as unreachable:
        client_of(closed).connect()

    assert unreachable.value.reason
    assert left_behind() == []


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (REFUSED, "refused: not authorized"),
        (ACCEPTED, "let in"),
        (b"", "no answer within 1 seconds"),
    ],
)
def test_a_tried_login_leaves_nothing_behind(serve, wait, answer, result):
    wait(answer)
    broker = serve(answer)
    settings = declared(broker)

    answer = try_login(settings, settings.password_listener(), Credential("sensor", "s3cret"))

    assert answer == result
    assert left_behind() == []
    assert broker.connections == 1
