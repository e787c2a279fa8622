"""
Compare a broker that was set up by hand with its adopted form, on two running brokers.

Both run in containers in a network of their own. What listens is read from the kernel, and clients
of a certain address, such as ``127.0.0.1``, are connected by a relay inside the container.
"""

from __future__ import annotations

import io
import posixpath
import re
import secrets
import socket
import subprocess
import tarfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from mqtt_packets import Connection, LoginRefused

from broker.adopt.adoption import Adoption
from broker.adopt.login_files import BLANKS
from broker.credentials.password_hashes import check_hash, hash_password, render_passwd
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR, render_conf
from broker.mosquitto.release_line import ReleaseLine
from broker.settings.stack_settings import Settings

PUBLISHER = "zz-publisher"
"""A login that is added to both brokers, with all rights: what it publishes, others receive."""
SALT = bytes(12)
ITERATIONS = 1
NOT_AUTHORIZED = 135
AT_ONCE = 10
PATIENCE = 60.0
DOCKER_DNS = ip_address("127.0.0.11")
"""Docker listens on it in every container of such a network."""
FIRST_LEVELS = ("$aws", "$SYS", "$CONTROL", "$foo")
OTHERS = ("zz", "/zz", "zz/", "$aws/zz", "$CONTROL/zz/v1", "$SYS/broker/connection/zz/state")

Socket = tuple[IPv4Address | IPv6Address, int]


@dataclass(frozen=True, kw_only=True)
class Client:
    """A user that tries to log in; *user* is None for an anonymous client."""

    user: str | None
    password: str
    client_id: str

    def __str__(self) -> str:
        return f"{self.user or 'anonymous'} as {self.client_id!r}"


@dataclass(kw_only=True)
class Differences:
    """What clients gain and lose by the adoption."""

    gained: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    compared: int = 0
    """How many answers of the two brokers were compared."""

    def add(self, what: str, *, before: bool, after: bool) -> None:
        self.compared += 1
        if after and not before:
            self.gained.append(what)
        elif before and not after:
            self.lost.append(what)


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a broker: texts by absolute path, folders, and the path of mosquitto.conf."""

    conf: str
    texts: Mapping[str, str]
    folders: tuple[str, ...] = ()

    def archive(self) -> bytes:
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            for folder in sorted({*self.folders, *map(posixpath.dirname, self.texts)}):
                entry = tarfile.TarInfo(folder.lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o777
                archive.addfile(entry)
            for path, plain in self.texts.items():
                # Without it, each answer of the broker takes up to 40 ms.
                fast = "\nset_tcp_nodelay true\n" if path == self.conf else ""
                text = plain + fast
                content = text.encode(errors="surrogateescape")
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
        return written.getvalue()


class DoesNotStartError(Exception):
    """Mosquitto rejects the files; the text is its log."""


@dataclass
class Running:
    """A broker in a container."""

    argv: Callable[..., list[str]]
    name: str
    address: str = ""
    """The container's address, as this machine reaches it."""
    relays: list[subprocess.Popen[bytes]] = field(default_factory=list)
    publishing: Connection | None = None

    def listening(self) -> set[Socket]:
        """Return the addresses and ports on which the broker listens."""
        text = _output(self.argv("exec", self.name, "cat", "/proc/net/tcp", "/proc/net/tcp6"))
        found = set[Socket]()
        for line in text.splitlines():
            words = line.split()
            if len(words) > 3 and words[3] == "0A":  # TCP_LISTEN
                address, _, port = words[1].partition(":")
                found.add((_address(address), int(port, 16)))
        return {(address, port) for address, port in found if address != DOCKER_DNS}

    def connect(self, address: str, port: int) -> socket.socket:
        """Return a socket that is connected to the broker on *address* of the container."""
        if ip_address(address).is_unspecified:
            direct = socket.create_connection((self.address, port), timeout=PATIENCE)
            direct.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return direct
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        with theirs:
            relay = subprocess.Popen(
                self.argv("exec", "--interactive", self.name, "nc", address, str(port)),
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.DEVNULL,
            )
        self.relays.append(relay)
        return ours

    def publisher(self, address: str, port: int) -> Connection:
        """Return the connection of the publisher, which stays open."""
        if self.publishing is None:
            login = Client(user=PUBLISHER, password=PUBLISHER, client_id=PUBLISHER)
            self.publishing = self.log_in(login, address, port)
        assert self.publishing is not None, "the publisher may log in"
        return self.publishing

    def log_in(self, client: Client, address: str, port: int) -> Connection | None:
        """Return a connection, or None if the broker refuses it."""
        try:
            return Connection(
                self.connect(address, port), client.user, client.password, client.client_id
            )
        except (LoginRefused, ConnectionError):
            return None


def _output(argv: list[str], *, stdin: bytes = b"") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=600)
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{argv}: {text}{done.stderr.decode(errors='replace')}"
    return text


def _address(text: str) -> IPv4Address | IPv6Address:
    """Parse an address of /proc/net/tcp: words of four bytes in the machine's order."""
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    return ip_address(b"".join(words))


@contextmanager
def started(
    argv: Callable[..., list[str]], network: str, image: str, files: Files
) -> Iterator[Running]:
    """
    Start a broker; *argv* is the docker client's.

    Raises:
        DoesNotStartError: Mosquitto rejects the files.

    """
    name = f"adopt-{secrets.token_hex(4)}"
    conf = files.texts[files.conf]
    addresses = sorted({*re.findall(r"(?<![\d.])\d+(?:\.\d+){3}(?![\d.])", conf)} - {"0.0.0.0"})
    commands = [f"ip address add {address} dev lo" for address in addresses]
    # Debian's folder of plugins has the name of the architecture; upstream's images have no folder.
    commands += ["ln -sf /usr/lib/*/mosquitto/*.so /usr/lib/ 2>/dev/null"]
    commands += [f"cd {posixpath.dirname(files.conf)}", f"exec mosquitto -c {files.conf}"]
    _output(
        argv(
            *("create", "--name", name, "--network", network, "--cap-add", "NET_ADMIN"),
            *("--user", "0:0", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0"),
            *("--entrypoint", "sh", image, "-c", "; ".join(commands)),
        )
    )
    running = Running(argv, name)
    try:
        _output(argv("cp", "-", f"{name}:/"), stdin=files.archive())
        _output(argv("start", name))
        found = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        running.address = _output(argv("inspect", "--format", found, name)).strip()
        _await_listener(running)
        yield running
    finally:
        if running.publishing is not None:
            running.publishing.close()
        subprocess.run(argv("rm", "--force", "--volumes", name), capture_output=True, check=False)
        for relay in running.relays:
            relay.wait(PATIENCE)


Start = Callable[[str, Files], AbstractContextManager[Running]]
"""``started`` with a daemon and a network."""


@contextmanager
def both_started(
    start: Start, image: str, original: Files, adopted: Files
) -> Iterator[list[Running]]:
    """Start two brokers at the same time."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        contexts = [start(image, files) for files in (original, adopted)]
        yield list(pool.map(stack.enter_context, contexts))


def _await_listener(running: Running) -> None:
    """Wait until the broker listens: it opens all listeners before it accepts a client."""
    deadline = time.monotonic() + PATIENCE
    state = running.argv("inspect", "--format", "{{.State.Running}}", running.name)
    while _output(state).strip() == "true":
        try:
            before = running.listening()
            if before and before == running.listening():
                return
        except AssertionError:
            continue  # the container ended in between
        assert time.monotonic() < deadline
    log = subprocess.run(
        running.argv("logs", running.name), capture_output=True, check=False, timeout=PATIENCE
    )
    raise DoesNotStartError((log.stdout + log.stderr).decode(errors="replace"))


def known_passwords(text: str, release_line: ReleaseLine) -> tuple[str, dict[str, str]]:
    """
    Return a password file with hashes of known passwords, and the passwords.

    Lines that the release line rejects stay as they are: their users must not be able to log in.
    """
    lines, passwords = [], {}
    for line in text.split("\n"):
        name, colon, hashed = (part.strip(BLANKS) for part in line.partition(":"))
        known = line
        if colon and not line.startswith("#"):
            passwords[name] = f"password of {name}" if "$" in hashed else hashed
            with suppress(ValueError):
                check_hash(hashed, release_line)
                known = f"{name}:{hash_password(passwords[name], SALT, ITERATIONS)}"
        lines.append(known)
    return "\n".join(lines), passwords


def with_publisher(
    texts: Mapping[str, str], passwords: Iterable[str], rules: Iterable[str]
) -> dict[str, str]:
    """Return *texts* with the publisher's login and rules in the files of these names."""
    added = dict(texts)
    login = f"{PUBLISHER}:{hash_password(PUBLISHER, SALT, ITERATIONS)}\n"
    grants = "".join(f"topic readwrite {first}/#\n" for first in FIRST_LEVELS)
    for name in passwords:
        added[name] = f"{added[name].rstrip(chr(10))}\n{login}"
    for name in rules:
        added[name] = (
            f"{added[name].rstrip(chr(10))}\nuser {PUBLISHER}\ntopic readwrite #\n{grants}"
        )
    return added


def adopted_files(adoption: Adoption) -> Files:
    """Return the files that the product writes, with the publisher; addresses are those bound."""
    raw = dict(adoption.settings)
    raw["broker"] = {**raw["broker"], "network": "host"}
    settings = Settings.parse(raw)
    names = settings.broker.files
    texts = {
        names.conf: render_conf(settings.broker),
        names.passwords: render_passwd(adoption.hashes),
        names.acl: render_acl(settings),
    }
    texts = with_publisher(texts, [names.passwords], [names.acl])
    return Files(
        conf=f"{CONFIG_DIR}/{names.conf}",
        texts={f"{CONFIG_DIR}/{name}": text for name, text in texts.items()},
        folders=(DATA_DIR, LOG_DIR),
    )


def topics_near(filters: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return topics that *filters* match, and topics beside them that they do not match."""
    found = dict.fromkeys(OTHERS)
    for filter_ in filters:
        for name in names:
            plain = filter_.replace("%u", name).replace("%c", name)
            levels = ["x" if level == "+" else level for level in plain.split("/")]
            short = "/".join(levels).removesuffix("/#").removesuffix("#")
            for topic in (short, f"{short}/x/y", f"/{short}", f"{short}/", short.strip("/")):
                for spelling in (topic, topic.rstrip(), topic.strip(BLANKS)):
                    found[spelling] = None
    return [topic for topic in found if _publishable(topic)]


def _publishable(topic: str) -> bool:
    """Return whether a client can publish to *topic*; others make the broker disconnect it."""
    forbidden = any(
        character in "+#" or unicodedata.category(character) in ("Cc", "Cs", "Cn")
        for character in topic
    )
    return bool(topic) and not forbidden and topic[:6] != "$share" and len(topic) < 200


def compare(
    original: Running,
    adopted: Running,
    clients: Iterable[Client],
    topics: list[str],
    plain_mqtt: Iterable[tuple[str, int]],
) -> Differences:
    """
    Compare listeners, logins and rights.

    *plain_mqtt* are the address and port of each MQTT listener of the adopted broker.
    """
    differences = Differences()
    before = original.listening()
    for address, port in sorted(adopted.listening(), key=str):
        wide = ip_address("0.0.0.0" if address.version == 4 else "::")
        open_before = {(address, port), (wide, port)} & before
        differences.add(f"{address} port {port}", before=bool(open_before), after=True)
    for address, port in sorted(before - adopted.listening(), key=str):
        wide = ip_address("0.0.0.0" if address.version == 4 else "::")
        if (wide, port) not in adopted.listening():
            differences.add(f"{address} port {port}", before=True, after=False)
    for address, port in plain_mqtt:
        for client in clients:
            before, after = (
                _rights(running, client, topics, address, port) for running in (original, adopted)
            )
            _compare_rights(f"{client} on port {port}", before, after, topics, differences)
    return differences


Rights = set[tuple[str, str]] | None
"""Actions and topics; None without a login."""


def _compare_rights(
    who: str, before: Rights, after: Rights, topics: list[str], differences: Differences
) -> None:
    differences.add(f"{who} logs in", before=before is not None, after=after is not None)
    for topic in topics:
        for action in ("publish", "receive"):
            differences.add(
                f"{who} may {action} {topic!r}",
                before=(action, topic) in (before or ()),
                after=(action, topic) in (after or ()),
            )


def _rights(running: Running, client: Client, topics: list[str], address: str, port: int) -> Rights:
    """Return what the broker allows *client*."""
    own = running.log_in(client, address, port)
    if own is None:
        return None
    with own:
        allowed = {("publish", topic) for topic in _published(own, topics)}
        _, arrived = own.subscribe(["#", *(topic for topic in topics if topic.startswith("$"))])
        # The broker's own topics have a value without a publisher.
        system = {topic for topic in arrived | own.arrived() if topic.startswith("$SYS")}
        _published(running.publisher(address, port), topics)
        return allowed | {("receive", topic) for topic in system | own.arrived() if topic in topics}


def _published(client: Connection, topics: list[str]) -> list[str]:
    """Return the topics that *client* may publish to."""
    codes: list[int] = []
    for start in range(0, len(topics), AT_ONCE):
        codes += client.publish(topics[start : start + AT_ONCE])
    return [topic for topic, code in zip(topics, codes, strict=True) if code != NOT_AUTHORIZED]
