"""The current status of a broker, from Docker and `$SYS`, and its text form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.settings.stack_settings import Settings

SYSTEM = "$SYS/broker/"
SAMPLE_TOPIC = f"{SYSTEM}clients/connected"
"""A user who may read this topic is assumed to be able to read all of ``TOPICS``."""

TOPICS = {
    "clients": (
        ("connected", "clients/connected"),
        ("away with a session", "clients/disconnected"),
    ),
    "messages a minute": (
        ("received", "load/messages/received/1min"),
        ("sent", "load/messages/sent/1min"),
        ("dropped", "load/publish/dropped/1min"),
    ),
    "kept": (
        ("retained", "retained messages/count"),
        ("subscriptions", "subscriptions/count"),
    ),
    "since its start": (
        ("uptime", "uptime"),
        ("dropped", "publish/messages/dropped"),
    ),
}
"""Lines of the status: label and topic below ``$SYS/broker/``, in 2.0 and in 2.1."""

INSPECT = (
    "{{.State.Status}}|{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}"
    "|{{.State.StartedAt}}|{{.RestartCount}}"
)
STATS = "{{.MemUsage}}|{{.CPUPerc}}"

_ESTABLISHED = "01"


@dataclass(frozen=True, kw_only=True)
class Status:
    """What Docker and the broker report; a field is empty if it could not be read."""

    state: str
    health: str
    since: str
    restarts: str
    memory: str = ""
    processor: str = ""
    connections: Mapping[str, int] = field(default_factory=dict)
    """Open connections, by listener."""
    system: Mapping[str, str] = field(default_factory=dict)
    """The last value below ``$SYS``, by topic."""
    reader: str = ""
    """The user who read them."""
    unread: str = ""
    """Why the read failed, if a user has the right."""

    @classmethod
    def parse(cls, inspected: str) -> Status:
        """Read what ``docker inspect`` prints in the format ``INSPECT``."""
        state, health, since, restarts = inspected.strip().split("|")
        return cls(state=state, health=health, since=since[:19], restarts=restarts)

    @property
    def well(self) -> bool:
        return self.state == "running" and self.health in ("healthy", "starting", "none")


def connections(settings: Settings, text: str) -> dict[str, int]:
    """Return how many clients are connected to each listener, from ``/proc/net/tcp`` and tcp6."""
    ports = {listener.port: name for name, listener in settings.broker.listeners.items()}
    found = dict.fromkeys(ports.values(), 0)
    for line in text.splitlines():
        words = line.split()
        # proc(5): number, local address, remote address, state.
        if len(words) < 4 or words[3] != _ESTABLISHED:  # noqa: PLR2004 (those four)
            continue
        name = ports.get(int(words[1].rpartition(":")[2], 16))
        if name is not None:
            found[name] += 1
    return found


def readers(settings: Settings) -> Iterator[str]:
    """Yield the users who may read the statistics, in the order of the stack file."""
    for name, rules in effective_rules(settings).items():
        if evaluate(rules, "receive", SAMPLE_TOPIC).allowed:
            yield name


def render_status(settings: Settings, status: Status) -> list[str]:
    """Return the lines of `./brokerctl status`."""
    since = f" since {status.since}Z" if status.state == "running" else ""
    lines = [
        f"container {settings.broker.container}: {status.state}{since}, health {status.health}, "
        f"restarted {status.restarts} times by Docker"
    ]
    if status.memory:
        lines.append(f"memory: {status.memory}; processor: {status.processor}")
    if status.connections:
        counts = ", ".join(f"{name} {count}" for name, count in status.connections.items())
        lines.append(f"connections: {sum(status.connections.values())} ({counts})")
    if status.state != "running":
        return lines
    if not status.reader:
        return [
            *lines,
            "clients and rates: not asked; "
            + (
                status.unread
                or "no user whose password is known here may read them. Give one read: "
                f'["{SYSTEM}#"]'
            ),
        ]
    lines += [f"{title}: {', '.join(_values(status, title))}" for title in TOPICS]
    return [*lines, f"(the last {len(TOPICS)} lines as {status.reader})"]


def _values(status: Status, title: str) -> Iterator[str]:
    for label, topic in TOPICS[title]:
        # A broker that has just started has not published all topics yet.
        yield f"{label} {status.system.get(SYSTEM + topic, 'not published yet')}"
