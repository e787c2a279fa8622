"""Which options of mosquitto.conf a reload applies, and which only a start, on both lines."""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from conftest import SUITES
from declared import settings_of
from mqtt import DENIED, Client, Refused
from ports import free_port

from broker.credentials.password_hashes import SALT_BYTES, hash_password
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import RELOADED

PATIENCE = 120
USER, PASSWORD = "user", "of the user"
HASH = hash_password(PASSWORD, bytes(SALT_BYTES), 1)


@dataclass
class Broker:
    """A broker on the host's network, so that another port needs no new container."""

    docker: Callable[..., str]
    folder: Path
    image: str
    name: str = field(default_factory=lambda: f"options-{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)
    other_port: int = field(default_factory=free_port)
    rules: str = f"user {USER}\ntopic #\n"
    _canaries: itertools.count[int] = field(default_factory=itertools.count)
    _listener: tuple[int, bool] = (0, False)

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
            "listener": "PORT 127.0.0.1",
            "protocol": "mqtt",
            "max_connections": "6",
        }

    def write(self, changed: Mapping[str, str]) -> None:
        lines = (self.options() | dict(changed)).items()
        text = "".join(f"{name} {value}\n" for name, value in lines)
        ports = {"PORT": str(self.port), "OTHER": str(self.other_port)}
        self._file("mosquitto.conf", re.sub("PORT|OTHER", lambda found: ports[found[0]], text))
        # Another canary user per change: when it is admitted, the reload is over.
        self.canary = f"canary-{next(self._canaries)}"
        users = f"{USER}:{HASH}\n{self.canary}:{HASH}\n"
        self._file("passwd", users)
        self._file("passwd-2", f"{users}second:{HASH}\n")
        self._file("acl", self.rules)
        self._file("acl-2", f"{self.rules}topic deny denied\n")

    def start(self, changed: Mapping[str, str]) -> None:
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o777)
        self.folder.chmod(0o755)
        self.write(changed)
        self.docker(
            *("run", "--detach", "--name", self.name, "--network", "host", "--user", "1883:1883"),
            *("--volume", f"{self.folder}:/site", self.image),
            *("/usr/sbin/mosquitto", "-c", "/site/mosquitto.conf"),
        )
        self.await_canary()

    def reload(self, changed: Mapping[str, str]) -> None:
        self.write(changed)
        self.signal("HUP")
        self.await_canary()

    def start_again(self, changed: Mapping[str, str]) -> None:
        self.write(changed)
        self.docker("restart", "--time", "10", self.name)
        self.await_canary()

    def signal(self, name: str) -> None:
        self.docker("exec", self.name, "kill", f"-{name}", "1")

    def await_canary(self) -> None:
        """Wait until the last written files are in force, and find the listener that answers."""
        deadline = time.monotonic() + PATIENCE
        # WebSockets first: a WebSocket listener of 2.0 answers MQTT with no MQTT packet.
        for listener in itertools.cycle(
            itertools.product((self.port, self.other_port), (True, False))
        ):
            if admits(listener, self.canary, PASSWORD):
                self._listener = listener
                return
            assert time.monotonic() < deadline, self.log()

    def admits(self, user: str | None, password: str | None) -> bool:
        return admits(self._listener, user, password)

    def client(self, **more: object) -> Client:
        port, websocket = self._listener
        return Client(port, USER, PASSWORD, websocket=websocket, **more)

    def round_trips(self) -> None:
        """Make the broker's loop run, in which it handles signals and its database."""
        with self.client() as client:
            for _ in range(20):
                client.publish("round-trip")

    def log(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("one/log*"))

    def _file(self, name: str, text: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o644)


def admits(listener: tuple[int, bool], user: str | None, password: str | None) -> bool:
    port, websocket = listener
    try:
        Client(port, user, password, websocket=websocket).close()
    except (Refused, OSError, ValueError):
        return False
    return True


def admits_anonymous_clients(broker: Broker) -> bool:
    return broker.admits(None, None)


def admits_the_second_user(broker: Broker) -> bool:
    return broker.admits("second", PASSWORD)


def denies_a_topic(broker: Broker) -> bool:
    with broker.client() as client:
        return client.publish("denied") == DENIED


def saved(broker: Broker) -> set[str]:
    """Return the folders that a SIGUSR1 writes the database to."""
    files = {name: broker.folder / name / "mosquitto.db" for name in ("one", "two")}
    for file in files.values():
        file.unlink(missing_ok=True)
    broker.signal("USR1")
    broker.round_trips()
    return {name for name, file in files.items() if file.exists()}


def saves_nothing(broker: Broker) -> bool:
    return not saved(broker)


def saves_in_the_second_folder(broker: Broker) -> bool:
    return saved(broker) == {"two"}


def saves_after(broker: Broker, changes: int, *, seconds: float = 0) -> bool:
    file = broker.folder / "one" / "mosquitto.db"
    file.unlink(missing_ok=True)
    with broker.client() as client:
        for number in range(changes):
            client.publish(f"kept/{secrets.token_hex(4)}", str(number), retain=True)
    deadline = time.monotonic() + seconds
    while True:
        broker.round_trips()
        if file.exists() or time.monotonic() > deadline:
            return file.exists()
        time.sleep(0.1)


def saves_after_four_changes(broker: Broker) -> bool:
    return saves_after(broker, 4)


def saves_after_a_hundred_changes(broker: Broker) -> bool:
    return saves_after(broker, 100)


def saves_after_a_second(broker: Broker) -> bool:
    return saves_after(broker, 1, seconds=2.5)


def logs_in_the_second_file(broker: Broker) -> bool:
    file = broker.folder / "one" / "log-2"
    before = file.stat().st_size if file.exists() else 0
    broker.round_trips()
    return file.exists() and file.stat().st_size > before


def timestamps_have_a_month(broker: Broker) -> bool:
    broker.round_trips()
    file = max(broker.folder.glob("one/log*"), key=lambda path: path.stat().st_mtime_ns)
    return bool(re.match(r"\d{4}-\d{2}: ", file.read_text().splitlines()[-1]))


def logs_subscriptions(broker: Broker) -> bool:
    topic = f"looked/for/{secrets.token_hex(4)}"
    with broker.client() as client:
        client.subscribe(topic)
    broker.round_trips()
    return topic in broker.log()


def queues_nine(broker: Broker) -> bool:
    session = secrets.token_hex(4)
    with broker.client(session=session) as away:
        away.subscribe("queue/#")
    with broker.client() as sender:
        for number in range(20):
            sender.publish("queue/message", str(number))
    with broker.client(session=session) as back:
        back.got("queue/message", "4")
        with broker.client() as sender:
            sender.publish("queue/fence")
        back.got("queue/fence")
        queued = sum(message.topic == "queue/message" for message in back.received)
    assert queued in (5, 9)
    return queued == 9


def sends_four_before_an_acknowledgement(broker: Broker) -> bool:
    with broker.client(acknowledge=False) as slow, broker.client() as sender:
        slow.subscribe("flight/#")
        for number in range(6):
            sender.publish("flight/message", str(number))
        # QoS 0 is not held back, so nothing arrives after the fence.
        sender.publish("flight/fence", qos=0)
        slow.got("flight/fence")
        sent = sum(message.topic == "flight/message" for message in slow.received)
    assert sent in (2, 4)
    return sent == 4


def takes_nine_thousand_bytes(broker: Broker) -> bool:
    with broker.client() as client:
        client.publish("size", "x" * 9000)
        return client.disconnected is None


def answers_on_the_other_port(broker: Broker) -> bool:
    return admits((broker.other_port, False), USER, PASSWORD)


def speaks_websockets(broker: Broker) -> bool:
    return admits((broker.port, True), USER, PASSWORD)


def admits_nine_clients(broker: Broker) -> bool:
    with contextlib.ExitStack() as stack:
        for _ in range(9):
            try:
                stack.enter_context(broker.client())
            except (Refused, OSError):
                return False
    return True


class ReloadEffect(Enum):
    """The effect of a reload on a changed option."""

    APPLIED = "in force after the reload"
    UNCHANGED = "unchanged until the next start"
    REFUSED = "unchanged, and all other options of mosquitto.conf, too"
    RESET = "reset to Mosquitto's default, even if unchanged"


APPLIED, UNCHANGED, REFUSED, RESET = ReloadEffect


@dataclass(frozen=True)
class Change:
    """A changed option, a test of whether it is in force, and the effect of a reload."""

    before: str
    after: str
    in_force: Callable[[Broker], bool]
    effects: Mapping[str, ReloadEffect]
    beside: Mapping[str, str] = field(default_factory=dict)
    """Other options that this one needs."""


def on_both(effect: ReloadEffect) -> dict[str, ReloadEffect]:
    return dict.fromkeys(SUITES, effect)


# The first word is the option; an option with two effects is tried with both.
CHANGES = {
    "allow_anonymous": Change("false", "true", admits_anonymous_clients, on_both(APPLIED)),
    "password_file": Change(
        "/site/passwd", "/site/passwd-2", admits_the_second_user, on_both(APPLIED)
    ),
    "acl_file": Change("/site/acl", "/site/acl-2", denies_a_topic, on_both(APPLIED)),
    "persistence": Change("true", "false", saves_nothing, on_both(APPLIED)),
    "persistence_location": Change(
        "/site/one/", "/site/two/", saves_in_the_second_folder, on_both(APPLIED)
    ),
    "autosave_interval of changes": Change(
        "10000", "3", saves_after_four_changes, on_both(APPLIED), {"autosave_on_changes": "true"}
    ),
    "autosave_interval of seconds": Change(
        "10000", "1", saves_after_a_second, on_both(APPLIED), {"autosave_on_changes": "false"}
    ),
    "autosave_on_changes": Change(
        "false",
        "true",
        saves_after_a_hundred_changes,
        on_both(APPLIED),
        {"autosave_interval": "90"},
    ),
    "log_dest": Change(
        "file /site/one/log", "file /site/one/log-2", logs_in_the_second_file, on_both(APPLIED)
    ),
    "log_timestamp_format": Change("%Y", "%Y-%m", timestamps_have_a_month, on_both(APPLIED)),
    "log_type": Change("notice", "all", logs_subscriptions, on_both(APPLIED)),
    "max_queued_messages": Change("5", "9", queues_nine, on_both(UNCHANGED)),
    "max_inflight_messages": Change(
        "2", "4", sends_four_before_an_acknowledgement, on_both(UNCHANGED)
    ),
    "max_packet_size": Change("5000", "10000", takes_nine_thousand_bytes, on_both(UNCHANGED)),
    "listener moved": Change(
        "PORT 127.0.0.1", "OTHER 127.0.0.1", answers_on_the_other_port, on_both(REFUSED)
    ),
    "listener added": Change(
        "PORT 127.0.0.1",
        "PORT 127.0.0.1\nlistener OTHER 127.0.0.1",
        answers_on_the_other_port,
        on_both(REFUSED),
    ),
    "protocol": Change("mqtt", "websockets", speaks_websockets, {"2.0": UNCHANGED, "2.1": APPLIED}),
    "max_connections": Change("6", "20", admits_nine_clients, {"2.0": RESET, "2.1": APPLIED}),
}

KEPT_FOR_A_START = {"persistence", "persistence_location"}
"""Both release lines reload them; this program replaces the container, because of its mounts."""


@pytest.fixture
def broker(docker, image, tmp_path):
    made = Broker(docker, tmp_path, image)
    yield made
    docker("rm", "--force", made.name, check=False)


@pytest.mark.parametrize("name", CHANGES)
def test_effect_of_a_reload(broker, line, name):
    option, change = name.split(" ")[0], CHANGES[name]
    before = {**change.beside, option: change.before}
    after = {**change.beside, option: change.after}
    effect = change.effects[line]
    broker.start(before)
    assert not change.in_force(broker), "it was in force before the reload"

    # The same reload also changes an option that every reload applies.
    broker.reload({"log_timestamp_format": "%Y-%m"} | after)
    assert timestamps_have_a_month(broker) == (effect is not REFUSED), broker.log()
    assert change.in_force(broker) == (effect in (APPLIED, RESET)), broker.log()

    if effect is APPLIED:
        broker.reload(before)
        assert not change.in_force(broker), "it stayed in force after it was reverted"
    elif effect is RESET:
        broker.start_again(before)
        assert not change.in_force(broker)
        broker.reload(before)
        assert change.in_force(broker), "an unchanged option was kept"
    else:
        broker.start_again(after)
        assert change.in_force(broker), "a start did not apply it"
        broker.reload(after)
        assert change.in_force(broker), "a reload reverted it"


def test_users_and_rules_are_reloaded_even_if_mosquitto_conf_is_refused(broker):
    broker.start({"log_type": "error"})
    broker.rules += "topic deny denied\n"
    with broker.client() as client:
        broker.reload({"log_type": "error", "listener": "OTHER 127.0.0.1"})
        assert client.disconnected is None
        assert client.publish("denied") == DENIED
    assert "not currently possible to add/remove listeners" in broker.log()


def test_every_rendered_option_is_tried():
    rendered = {
        option_line.split(" ")[0]
        for option_line in render_conf(settings_of("prod").broker).splitlines()
        if option_line and not option_line.startswith("#")
    }

    assert rendered == {name.split(" ")[0] for name in CHANGES}


def test_reloaded_options_are_those_that_both_lines_apply():
    applied, not_applied = set(), set()
    for name, change in CHANGES.items():
        both = set(change.effects.values()) == {APPLIED}
        (applied if both else not_applied).add(name.split(" ")[0])

    assert applied - not_applied - KEPT_FOR_A_START == RELOADED
    assert applied >= KEPT_FOR_A_START
