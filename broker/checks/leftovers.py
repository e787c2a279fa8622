"""What a removal must have removed from the host, and what is still there after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from broker.backup.backups import VERB as BACKUP
from broker.credentials.env_files import env_file_mark
from broker.firewall.backend import short_name
from broker.firewall.rules import unit_of
from broker.host.layout import UNITS, file_names_in_config, folder_of
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import Leftovers
from broker.host.timer import CRON, timer_name
from broker.logs.logrotate import logrotate_path
from broker.monitoring.mqtt_exporter import config_folder, container_of
from broker.monitoring.node_exporter_metrics import VERB as TEXTFILE
from broker.monitoring.node_exporter_metrics import file_name
from broker.settings.broker_settings import Broker


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something that is still on the host."""

    kind: str
    """``container``, ``network``, ``file`` or ``rules``."""
    name: str

    @property
    def text(self) -> str:
        """What it is, and the command that removes it."""
        return {
            "container": f"container {self.name} (docker rm --force {self.name})",
            "network": f"network {self.name} (docker network rm {self.name})",
            "file": f"{self.name} (rm -r {self.name})",
            "rules": f"firewall rules of {self.name} (docs/how-to/firewall.md)",
        }[self.kind]


def leftover_calls(broker: Broker, stack: str, socket: str, image: str) -> list[ScriptCall]:
    """Return the calls of ``leftovers.sh``; a container of *image* reads folders of other users."""
    return [
        Leftovers.removed(socket=socket, image=image),
        Leftovers.container(broker.container),
        Leftovers.container(container_of(broker)),
        Leftovers.network(broker.container),
        *(Leftovers.file(path) for path in removed_paths(broker)),
        *(Leftovers.env_file(file.path, mark=env_file_mark(stack)) for file in broker.env_files),
        Leftovers.rules(broker.container, short_name=short_name(broker.container)),
    ]


def removed_paths(broker: Broker) -> Iterator[str]:
    """
    Yield the files and folders that a removal deletes, whoever wrote into them.

    Data, log and archives stay, and so does the configuration folder if others have files there.
    """
    yield from (f"{broker.folders.config}/{name}" for name in file_names_in_config(broker))
    yield folder_of(broker)
    yield logrotate_path(broker)
    yield f"{UNITS}/{unit_of(broker)}"
    for verb in (BACKUP, TEXTFILE):
        name = timer_name(broker, verb)
        yield from (f"{UNITS}/{name}.service", f"{UNITS}/{name}.timer", f"{CRON}/{name}")
    if broker.monitoring is not None:
        yield config_folder(broker)
        if broker.monitoring.textfile is not None:
            yield f"{broker.monitoring.textfile}/{file_name(broker)}"


def parse_leftovers(text: str) -> list[Leftover] | None:
    """Return what ``leftovers.sh`` found; None if its answer is incomplete."""
    *lines, last = text.rstrip("\n").split("\n")
    if last != "looked":
        return None
    words = [line.split(" ", 2) for line in lines]
    return [Leftover(kind=kind, name=name) for _, kind, name in words]
