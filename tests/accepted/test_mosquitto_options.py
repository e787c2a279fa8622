"""Which options of mosquitto.conf a reload applies, and which only a start: as both lines do it."""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import free_port
from declared import settings_of
from mqtt import SUCCESS, Client, Refused

from broker.conf import render_conf
from broker.needs import RELOADED
from broker.passwd import SALT_BYTES, hash_password

PATIENCE = 20
USER, PASSWORD = "user", "of the user"
HASH = hash_password(PASSWORD, bytes(SALT_BYTES), 1)


@dataclass
class Broker:
    """A bare broker on the host's own network, so that a reload could add a port."""

    docker: Callable[..., str]
    folder: Path
    image: str
    name: str = field(default_factory=lambda: f"options-{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)
    other_port: int = field(default_factory=free_port)
    _canaries: itertools.count[int] = field(default_factory=itertools.count)

    def options(self) -> dict[str, str]:
        return {
            "allow_anonymous": "false",
            "password_file": "/site/passwd",
            "acl_file": "/site/acl",
            "persistence": "true",
            "persistence_location": "/site/one/",
            "autosave_interval": "10000",
            "autosave_on_changes": "true",
            "log_dest": "file /site/one/log",
            "log_timestamp_format": "%Y",
            "log_type": "notice",
            "max_queued_messages": "5",
            "max_inflight_messages": "2",
            "max_packet_size": "5000",
            "listener": f"{self.port} 127.0.0.1",
            "protocol": "mqtt",
            "max_connections": "6",
        }

    def write(self, **changed: str) -> None:
        lines = (self.options() | changed).items()
        text = "".join(f"{name} {value}\n" for name, value in lines)
        self._file("mosquitto.conf", text)
        # A user more in each file: whoever is let in as that one knows that the reload is over.
        self.canary = f"canary-{next(self._canaries)}"
        users = f"{USER}:{HASH}\n{self.canary}:{HASH}\n"
        rules = f"user {USER}\ntopic #\nuser {self.canary}\ntopic #\n"
        self._file("passwd", users)
        self._file("passwd-2", f"{users}second:{HASH}\n")
        self._file("acl", rules)
        self._file("acl-2", f"{rules}user {USER}\ntopic deny denied\n")

    def start(self) -> None:
        for each in ("one", "two"):
            (self.folder / each).mkdir()
            (self.folder / each).chmod(0o777)
        self.folder.chmod(0o755)
        self.write()
        self.docker(
            *("run", "--detach", "--name", self.name, "--network", "host", "--user", "1883:1883"),
            *("--volume", f"{self.folder}:/site", self.image),
            *("/usr/sbin/mosquitto", "-c", "/site/mosquitto.conf"),
        )
        self.until_in()

    def reload(self, **changed: str) -> None:
        self.write(**changed)
        self.signal("HUP")
        self.until_in()

    def signal(self, name: str) -> None:
        self.docker("exec", self.name, "kill", f"-{name}", "1")

    def until_in(self) -> None:
        deadline = time.monotonic() + PATIENCE
        for websocket in itertools.cycle((False, True)):
            if lets_in(self.port, self.canary, PASSWORD, websocket=websocket):
                return
            assert time.monotonic() < deadline, self.log()

    def client(self, **more: object) -> Client:
        return Client(self.port, USER, PASSWORD, **more)

    def round_trips(self) -> None:
        """The broker looks at its signals and its database on each turn of its one loop."""
        with self.client() as client:
            for _ in range(20):
                assert client.publish("turn") in (SUCCESS, "No matching subscribers")

    def log(self) -> str:
        return "".join(each.read_text() for each in self.folder.glob("*/log*"))

    def _file(self, name: str, text: str) -> None:
        path = self.folder / name
        if path.exists():
            path.unlink()
        path.write_text(text)
        path.chmod(0o644)


def lets_in(port: int, user: str | None, password: str | None, *, websocket: bool = False) -> bool:
    try:
        Client(port, user, password, websocket=websocket).close()
    except (Refused, OSError, ValueError):
        return False
    return True


def anonymous(broker: Broker) -> bool:
    return lets_in(broker.port, None, None)


def second_password_file(broker: Broker) -> bool:
    return lets_in(broker.port, "second", PASSWORD)


def second_acl_file(broker: Broker) -> bool:
    with broker.client() as client:
        return client.publish("denied") == "Not authorized"


def saved(broker: Broker, folder: str) -> bool:
    """Whether a SIGUSR1 writes the database there."""
    for each in ("one", "two"):
        (broker.folder / each / "mosquitto.db").unlink(missing_ok=True)
    broker.signal("USR1")
    broker.round_trips()
    return (broker.folder / folder / "mosquitto.db").exists()


def not_persistent(broker: Broker) -> bool:
    return not saved(broker, "one")


def second_location(broker: Broker) -> bool:
    return saved(broker, "two")


def saves_after(broker: Broker, changes: int) -> bool:
    file = broker.folder / "one" / "mosquitto.db"
    file.unlink(missing_ok=True)
    with broker.client() as client:
        for number in range(changes):
            client.publish(f"kept/{secrets.token_hex(4)}", str(number), retain=True)
    broker.round_trips()
    return file.exists()


def saves_after_three_changes(broker: Broker) -> bool:
    return saves_after(broker, 4)


def second_log(broker: Broker) -> bool:
    broker.round_trips()
    return (broker.folder / "one" / "log-2").exists()


def stamps_with_a_month(broker: Broker) -> bool:
    before = len(broker.log())
    broker.round_trips()
    line = broker.log()[before:].splitlines()[0]
    return bool(re.match(r"\d{4}-\d{2}: ", line))


def logs_subscriptions(broker: Broker) -> bool:
    with broker.client() as client:
        client.subscribe("looked/for/in/the/log")
    broker.round_trips()
    return "looked/for/in/the/log" in broker.log()


def queues_nine(broker: Broker) -> bool:
    session = secrets.token_hex(4)
    with broker.client(session=session) as away:
        away.subscribe("queue/#")
    with broker.client() as sender:
        for number in range(20):
            sender.publish("queue/it", str(number))
    with broker.client(session=session) as back:
        back.got("queue/it", "4")
        with broker.client() as sender:
            sender.publish("queue/fence")
        back.got("queue/fence")
        return sum(each.topic == "queue/it" for each in back.received) > 5


def has_four_in_flight(broker: Broker) -> bool:
    with broker.client(acknowledge=False) as slow, broker.client() as sender:
        slow.subscribe("flight/#")
        for number in range(6):
            sender.publish("flight/it", str(number))
        sender.publish("flight/fence", qos=0)
        slow.got("flight/fence")
        return sum(each.topic == "flight/it" for each in slow.received) > 2


def takes_nine_thousand_bytes(broker: Broker) -> bool:
    with broker.client() as client:
        client.publish("size", "x" * 9000)
        return client.disconnected is None and client.publish("size") != ""


def answers_on_the_other_port(broker: Broker) -> bool:
    return lets_in(broker.other_port, USER, PASSWORD)


def speaks_websockets(broker: Broker) -> bool:
    return not lets_in(broker.port, USER, PASSWORD)


def lets_nine_in(broker: Broker) -> bool:
    with contextlib.ExitStack() as stack:
        for _ in range(9):
            try:
                stack.enter_context(broker.client())
            except (Refused, OSError):
                return False
    return True


@dataclass(frozen=True)
class Change:
    """One option with another value, and how to see that it is in force."""

    value: str
    in_force: Callable[[Broker], bool]
    before: tuple[tuple[str, str], ...] = ()
    """Other options that this one needs, from the start."""


CHANGES = {
    "allow_anonymous": Change("true", anonymous),
    "password_file": Change("/site/passwd-2", second_password_file),
    "acl_file": Change("/site/acl-2", second_acl_file),
    "persistence": Change("false", not_persistent),
    "persistence_location": Change("/site/two/", second_location),
    "autosave_interval": Change("3", saves_after_three_changes),
    "autosave_on_changes": Change(
        "true",
        lambda broker: saves_after(broker, 320),
        before=(("autosave_interval", "300"), ("autosave_on_changes", "false")),
    ),
    "log_dest": Change("file /site/one/log-2", second_log),
    "log_timestamp_format": Change("%Y-%m", stamps_with_a_month),
    "log_type": Change("all", logs_subscriptions),
    "max_queued_messages": Change("9", queues_nine),
    "max_inflight_messages": Change("4", has_four_in_flight),
    "max_packet_size": Change("10000", takes_nine_thousand_bytes),
    "listener": Change("OTHER 127.0.0.1", answers_on_the_other_port),
    "protocol": Change("websockets", speaks_websockets),
    "max_connections": Change("20", lets_nine_in),
}

ONLY_A_START = {
    *("max_queued_messages", "max_inflight_messages", "max_packet_size"),
    *("listener", "protocol"),
}
"""What a reload leaves as it was on 2.0; 2.1 lets a port speak another protocol from then on."""

KEPT_FOR_A_START = {
    # They go with the container's mounts and with its limit of open files.
    *("persistence", "persistence_location", "max_connections"),
}
"""What both would reload, and we don't ask them to."""


@pytest.fixture
def broker(docker, image, tmp_path):
    made = Broker(docker, tmp_path, image)
    yield made
    docker("rm", "--force", made.name, check=False)


@pytest.mark.parametrize("option", CHANGES)
def test_a_reload_applies_it_or_leaves_it_as_it_was(broker, option, monkeypatch, line):
    change = CHANGES[option]
    usual = broker.options() | dict(change.before)
    monkeypatch.setattr(Broker, "options", lambda _self: usual)
    broker.start()
    assert not change.in_force(broker), "it was in force before the reload"

    broker.reload(**{option: change.value.replace("OTHER", str(broker.other_port))})

    applied = option not in ONLY_A_START or (line, option) == ("2.1", "protocol")
    assert change.in_force(broker) == applied, (line, broker.log())


def test_every_option_that_we_render_was_asked():
    rendered = {
        each.split(" ")[0]
        for each in render_conf(settings_of("prod").broker).splitlines()
        if each and not each.startswith("#")
    }

    assert rendered == set(CHANGES)


def test_what_is_reloaded_is_what_both_lines_apply():
    assert set(CHANGES) == RELOADED | ONLY_A_START | KEPT_FOR_A_START
    assert not RELOADED & (ONLY_A_START | KEPT_FOR_A_START)
