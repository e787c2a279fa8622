"""The rules that say who reaches the broker, in force before it listens and until it has gone."""

from collections.abc import Sequence

from pulumi import ComponentResource, Input, Resource, ResourceOptions

from broker.firewall.backend import Choice
from broker.firewall.rules import (
    close_former_ports_calls,
    digest,
    firewall_calls,
    preview_texts,
)
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.broker_settings import Broker
from components.host_command import host_command, show


class Firewall(ComponentResource):
    """
    The declared networks, and nobody else, reach each listener; also after a restart.

    A container from before, on other ports, keeps their lists until ``leave_former`` says that it
    is gone.
    """

    in_force: Resource
    """Whatever listens depends on this."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        transport: Transport,
        image: Input[str],
        choice: Choice,
        revision: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Firewall", name, {}, opts)
        self._name, self._broker, self._transport = name, broker, transport
        self._image, self._choice, self._revision = image, choice, revision
        shown = {key: show(text) for key, text in preview_texts(broker, choice).items()}
        self.in_force = host_command(
            # A container of another name has other rules, and those before go with their resource.
            f"{name}-rules-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.FIREWALL,
            calls=firewall_calls(broker, choice, revision),
            shown={**shown, "turn": revision},
            network_admin=True,
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def leave_former(self, after: Sequence[Resource]) -> None:
        """Take away what the rules before said, once *after*, all that listens, is up."""
        broker, choice, revision = self._broker, self._choice, self._revision
        host_command(
            f"{self._name}-left-{broker.container}",
            transport=self._transport,
            become=broker.become,
            image=self._image,
            script=HostScript.CLOSE_FORMER_PORTS,
            calls=close_former_ports_calls(broker, choice, revision),
            # As often as the rules are put in force, and no less.
            shown={"rules": digest(broker, choice), "turn": revision},
            network_admin=True,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )
