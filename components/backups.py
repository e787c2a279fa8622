"""The host's own clock makes backups, without this program, as long as the stack is there."""

from pulumi import ComponentResource, Input, ResourceOptions

from broker.backup.backups import backup_timer
from broker.host.script_calls import assemble
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.backup_settings import Backups as Declared
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import CronSchedule
from components.host_command import host_command, read_script


class Backups(ComponentResource):
    """A script, and what starts it at its time; the archives outlive the stack."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        declared: Declared,
        timetable: CronSchedule,
        stack: str,
        transport: Transport,
        image: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Backups", name, {}, opts)
        script = assemble((HostScript.BACKUP,), read_script)
        host_command(
            # A container of another name has other files, and those before go with their resource.
            f"{name}-schedule-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.SCHEDULE,
            calls=backup_timer(
                broker, declared, timetable, stack, socket=transport.socket, script=script
            ).calls(),
            shown={
                "schedule": timetable.cron(),
                "folder": declared.folder,
                "keep": str(declared.keep),
            },
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({})
