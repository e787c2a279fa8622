"""Metrics of the host beside ``$SYS``: a file for node_exporter, written every minute."""

from __future__ import annotations

from collections.abc import Iterator

from broker.backup.backups import longest_gap
from broker.host.script_calls import ScriptCall, render_stdin
from broker.host.script_functions import NodeExporterMetrics
from broker.host.timer import Timer
from broker.mosquitto.mosquitto_conf import KEY_AND_CERTIFICATE_FILE, LOG_DIR, TLS_DIR
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import CronSchedule

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

VERB = "textfile"
"""The name of the timer among those of a broker."""

EVERY_MINUTE = CronSchedule.parse("* * * * *")


def file_name(broker: Broker) -> str:
    return f"sentient-mqtt-{broker.container}.prom"


def _counted(broker: Broker) -> str:
    return f"/run/sentient-mqtt-{broker.container}.counted"


def textfile_calls(broker: Broker, folder: str, socket: str, image: str) -> Iterator[ScriptCall]:
    """
    Yield the calls of ``host/commands/node_exporter_metrics.sh``.

    *image* is an image on the host that has sh.
    """
    logging = broker.logging
    yield NodeExporterMetrics.textfile(
        f"{folder}/{file_name(broker)}", container=broker.container, image=image
    )
    yield NodeExporterMetrics.limits(
        clients=broker.limits.max_connections, refused=logging.refused_per_hour
    )
    yield NodeExporterMetrics.container(socket=socket, name=broker.container)
    # Lost when the host starts. Prometheus expects that counters restart at 0.
    yield NodeExporterMetrics.log(f"{LOG_DIR}/{logging.file}", memory=_counted(broker))
    if broker.backups is not None and broker.backups.schedule is not None:
        gap = longest_gap(CronSchedule.parse(broker.backups.schedule))
        yield NodeExporterMetrics.backups(
            broker.backups.folder, seconds=int(gap.total_seconds()), container=broker.container
        )
    for name in broker.tls_listeners:
        path = f"{broker.folders.config}/{TLS_DIR}/{name}/{KEY_AND_CERTIFICATE_FILE}"
        yield NodeExporterMetrics.certificate(name, path=path)


def textfile_timer(broker: Broker, folder: str, *, socket: str, image: str, script: str) -> Timer:
    """
    Return the timer that writes the file into *folder*.

    *script* is the text of ``HostScript.NODE_EXPORTER_METRICS``.
    """
    return Timer(
        broker=broker,
        verb=VERB,
        does="Figures for Prometheus of the MQTT broker",
        setting="broker.monitoring.textfile",
        timetable=EVERY_MINUTE,
        text=render_stdin(script, textfile_calls(broker, folder, socket, image)),
        writes=tuple(
            (path, socket, image) for path in (f"{folder}/{file_name(broker)}", _counted(broker))
        ),
    )
