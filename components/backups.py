"""Scheduled backups on the host: systemd or cron runs them until the stack is destroyed."""

from pulumi import ComponentResource, Input, ResourceOptions

from broker.backup.backups import backup_timer
from broker.host.script_calls import Record, assemble
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.backup_settings import Backups as BackupSettings
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import CronSchedule
from components.host_command import host_command, read_script


class Backups(ComponentResource):
    """The backup script and its schedule. Destroying the stack keeps the archives."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        declared: BackupSettings,
        schedule: CronSchedule,
        stack: str,
        record: Record,
        transport: Transport,
        image: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Backups", name, {}, opts)
        script = assemble((HostScript.BACKUP,), read_script)
        host_command(
            # The files depend on the container's name: with a new name, the old resource and its
            # files are deleted.
            f"{name}-schedule-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.SCHEDULE,
            calls=backup_timer(
                broker, declared, schedule, stack, socket=transport.socket, script=script
            ).calls(),
            shown={
                "schedule": schedule.cron(),
                "folder": declared.folder,
                "keep": str(declared.keep),
            },
            record=record,
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({})
