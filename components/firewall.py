"""The firewall rules of the broker, in force from before it listens until it is deleted."""

from collections.abc import Sequence

from pulumi import ComponentResource, Input, Resource, ResourceOptions

from broker.firewall.backend import Choice
from broker.firewall.rules import (
    close_former_ports_calls,
    digest,
    firewall_calls,
    preview_texts,
)
from broker.host.script_calls import Record
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.broker_settings import Broker
from components.host_command import host_command, show


class Firewall(ComponentResource):
    """
    Let only the declared networks reach the listeners, also after a reboot.

    The rules of a former container's ports stay until ``close_former_ports`` removes them.
    """

    in_force: Resource
    """A resource that listens must depend on this one."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        transport: Transport,
        image: Input[str],
        choice: Choice,
        record: Record,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Firewall", name, {}, opts)
        self._name, self._broker, self._transport = name, broker, transport
        self._image, self._choice, self._revision = image, choice, record.revision
        shown = {key: show(text) for key, text in preview_texts(broker, choice).items()}
        self.in_force = host_command(
            # The rules depend on the container's name: with a new name, the old resource and its
            # rules are deleted.
            f"{name}-rules-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.FIREWALL,
            calls=firewall_calls(broker, choice),
            shown=shown,
            network_admin=True,
            record=record,
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def close_former_ports(self, after: Sequence[Resource]) -> Resource:
        """Remove the rules of former ports, once *after*, all resources that listen, are up."""
        broker, choice = self._broker, self._choice
        return host_command(
            f"{self._name}-left-{broker.container}",
            transport=self._transport,
            become=broker.become,
            image=self._image,
            script=HostScript.CLOSE_FORMER_PORTS,
            calls=close_former_ports_calls(broker, choice),
            # Run again whenever the rules are applied again.
            shown={"rules": digest(broker, choice), "revision": self._revision},
            network_admin=True,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )
