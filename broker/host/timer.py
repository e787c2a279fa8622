"""Run a script on the host by schedule: with a systemd timer, or with cron without systemd."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broker.host.layout import ROOT, UNITS, HostFile, folder_of
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import Schedule
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import CronSchedule

CRON = "/etc/cron.d"


def timer_name(broker: Broker, verb: str) -> str:
    return f"sentient-mqtt-{verb}-" + re.sub(r"[^A-Za-z0-9_-]", "_", broker.container)


@dataclass(frozen=True, kw_only=True)
class Timer:
    """A scheduled script, which the host runs without this program and without a password."""

    broker: Broker
    verb: str
    """The name among the timers of a broker, such as ``backup``."""
    does: str
    """The beginning of the unit's description: ``A backup of the MQTT broker``."""
    setting: str
    """The path in the stack file that declares the timer, for error messages."""
    timetable: CronSchedule
    text: str
    """The script, with its calls."""
    needs: str = ""
    """A command that the host must have beside sh; empty if there is none."""
    writes: tuple[tuple[str, str, str], ...] = ()
    """Files that a removal deletes: path, and the Docker socket and image that delete it."""
    catch_up: bool = False
    """Whether a missed run is done when the host starts."""

    @property
    def name(self) -> str:
        """The name of the units and of the cron file, which may have no dot (cron(8))."""
        return timer_name(self.broker, self.verb)

    @property
    def path(self) -> str:
        return f"{folder_of(self.broker)}/{self.verb}"

    def calls(self) -> list[ScriptCall]:
        """Return the calls of ``host/commands/schedule.sh``."""
        script = HostFile(path=self.path, owner=ROOT, text=self.text, mode="0700")
        return [
            Schedule.schedule(self.name, setting=self.setting, command=self.needs),
            *(
                Schedule.written(path, socket=socket, image=image)
                for path, socket, image in self.writes
            ),
            script.call(),
            self._unit("service", self.service()),
            self._unit("timer", self.timer()),
            Schedule.cron(f"{CRON}/{self.name}", mode="0644", owner=ROOT, text=self.cron()),
        ]

    def _unit(self, kind: str, text: str) -> ScriptCall:
        return Schedule.unit(f"{UNITS}/{self.name}.{kind}", mode="0644", owner=ROOT, text=text)

    def service(self) -> str:
        """Return the service unit, which runs the script once; systemd.service(5)."""
        return f"""[Unit]
Description={self.does} {self.broker.container}
After=docker.service

[Service]
Type=oneshot
ExecStart=/bin/sh {self.path} apply
"""

    def timer(self) -> str:
        """Return the timer unit, which starts the service; systemd.timer(5)."""
        return f"""[Unit]
Description={self.does} {self.broker.container}: when

[Timer]
OnCalendar={self.timetable.on_calendar()}
AccuracySec=1s
Persistent={"true" if self.catch_up else "false"}

[Install]
WantedBy=timers.target
"""

    def cron(self) -> str:
        """Return the file for ``/etc/cron.d``; crontab(5)."""
        return f"""PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{self.timetable.cron()} root sh {self.path} apply >/dev/null
"""
