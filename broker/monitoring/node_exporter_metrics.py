"""What the host tells Prometheus beside ``$SYS``: a file for node_exporter, written each minute."""

from __future__ import annotations

from collections.abc import Iterator

from broker.backup.backups import longest_gap
from broker.host.script_calls import ScriptCall, render_stdin
from broker.host.timer import Timer
from broker.mosquitto.mosquitto_conf import LOG_DIR, PAIR_FILE, TLS_DIR
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import CronSchedule

"""Of ``host/``."""

METRICS = tuple(
    f"sentient_mqtt_{name}"
    for name in (
        *("clients_limit", "refused_logins_limit"),
        *("container_running", "container_healthy", "container_restarts_total"),
        *("refused_logins_total", "denied_messages_total", "log_bytes"),
        *("backup_timestamp_seconds", "backup_drill_timestamp_seconds"),
        *("backup_interval_seconds", "certificate_expiry_timestamp_seconds"),
    )
)

EACH_MINUTE = CronSchedule.parse("* * * * *")


def file_name(broker: Broker) -> str:
    return f"sentient-mqtt-{broker.container}.prom"


def _counted(broker: Broker) -> str:
    return f"/run/sentient-mqtt-{broker.container}.counted"


def textfile_calls(broker: Broker, folder: str, socket: str, image: str) -> Iterator[ScriptCall]:
    """
    Yield the calls of ``host/commands/node_exporter_metrics.sh``; *image* is one on the host that
    has sh.
    """
    words: list[tuple[str, ...]] = [
        ("textfile", f"{folder}/{file_name(broker)}", broker.container, image),
        ("limits", str(broker.limits.max_connections), str(broker.logging.refused_per_hour)),
        ("container", socket, broker.container),
        # Gone at a start of the host: counters begin anew, as Prometheus expects of them.
        ("log", f"{LOG_DIR}/{broker.logging.file}", _counted(broker)),
    ]
    if broker.backups is not None and broker.backups.schedule is not None:
        gap = longest_gap(CronSchedule.parse(broker.backups.schedule))
        seconds = str(int(gap.total_seconds()))
        words.append(("backups", broker.backups.folder, seconds, broker.container))
    words += [
        ("certificate", name, f"{broker.folders.config}/{TLS_DIR}/{name}/{PAIR_FILE}")
        for name in broker.tls_listeners
    ]
    return (ScriptCall(words=each) for each in words)


def textfile_timer(broker: Broker, folder: str, *, socket: str, image: str, script: str) -> Timer:
    """
    Return what writes the file into *folder*.

    *script* is the text of ``HostScript.NODE_EXPORTER_METRICS``.
    """
    return Timer(
        broker=broker,
        verb="textfile",
        does="Figures for Prometheus of the MQTT broker",
        setting="broker.monitoring.textfile",
        timetable=EACH_MINUTE,
        text=render_stdin(script, textfile_calls(broker, folder, socket, image)),
        writes=tuple(
            (path, socket, image) for path in (f"{folder}/{file_name(broker)}", _counted(broker))
        ),
    )
