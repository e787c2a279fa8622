"""The host's own clock makes backups, without this program, as long as the stack is there."""

from pulumi import ComponentResource, Input, ResourceOptions

from broker.backup import SCRIPTS, backup_timer
from broker.delivery import assemble
from broker.host import Transport
from broker.site import Backups as Declared
from broker.site import Broker
from broker.timetable import Timetable
from components.hostcommand import host_command, read_script


class Backups(ComponentResource):
    """A script, and what starts it at its time; the archives outlive the stack."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        declared: Declared,
        timetable: Timetable,
        stack: str,
        transport: Transport,
        image: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Backups", name, {}, opts)
        script = assemble(SCRIPTS, read_script)
        host_command(
            # A container of another name has other files, and those before go with their resource.
            f"{name}-schedule-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            scripts=("files.sh", "schedule.sh"),
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
