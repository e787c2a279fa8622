"""How a broker is at this moment, told in lines, from what Docker and `$SYS` said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.settings.stack_settings import Settings

SYSTEM = "$SYS/broker/"
READ_OF_ALL = f"{SYSTEM}clients/connected"
"""Who may read this is taken for one who may read the others."""

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
"""Lines of the status, each of several topics below ``$SYS/broker/``, in 2.0 and in 2.1."""

INSPECT = (
    "{{.State.Status}}|{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}"
    "|{{.State.StartedAt}}|{{.RestartCount}}"
)
STATS = "{{.MemUsage}}|{{.CPUPerc}}"

_ESTABLISHED = "01"


@dataclass(frozen=True, kw_only=True)
class Status:
    """What was seen; empty where nobody could look."""

    state: str
    health: str
    since: str
    restarts: str
    memory: str = ""
    processor: str = ""
    connections: Mapping[str, int] = field(default_factory=dict)
    """Open ones, by listener."""
    system: Mapping[str, str] = field(default_factory=dict)
    """What was last said below ``$SYS``, by topic."""
    reader: str = ""
    """As whom that was read."""
    unread: str = ""
    """Why nobody could, where somebody may."""

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
    ports = {each.port: name for name, each in settings.broker.listeners.items()}
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
    """Yield who may read the statistics, by the rules, in the order of the stack file."""
    for name, each in effective_rules(settings).items():
        if evaluate(each, "receive", READ_OF_ALL).allowed:
            yield name


def render_status(settings: Settings, status: Status) -> list[str]:
    """Return the lines."""
    since = f" since {status.since}Z" if status.state == "running" else ""
    lines = [
        f"container {settings.broker.container}: {status.state}{since}, health {status.health}, "
        f"started again {status.restarts} times by Docker"
    ]
    if status.memory:
        lines.append(f"memory: {status.memory}; processor: {status.processor}")
    if status.connections:
        each = ", ".join(f"{name} {count}" for name, count in status.connections.items())
        lines.append(f"connections: {sum(status.connections.values())} ({each})")
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
    lines += [f"{title}: {', '.join(_said(status, title))}" for title in TOPICS]
    return [*lines, f"(the last {len(TOPICS)} lines as {status.reader})"]


def _said(status: Status, title: str) -> Iterator[str]:
    for label, topic in TOPICS[title]:
        # A broker that has just started has not counted yet, and says nothing of some.
        yield f"{label} {status.system.get(SYSTEM + topic, 'not said yet')}"
