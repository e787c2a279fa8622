"""The certificates of the TLS listeners, installed before the broker reads its configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from broker.host.script_calls import Record
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.broker_settings import Broker
from broker.tls.certificates import certificate_calls, describe_certificates, preview_texts
from components.host_command import host_command


class Certificates(ComponentResource):
    """
    Create or copy the certificates, check them, and let the running broker load them.

    A generated private key does not leave the host.
    """

    in_place: Resource
    """A resource that reads the certificates must depend on this one."""

    public: Output[dict[str, Any]]
    """The fingerprint and end date of each listener's certificate, and the stack's CA."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        transport: Transport,
        image: Input[str],
        record: Record,
        external: Mapping[str, str],
        after: Sequence[Resource],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Certificates", name, {}, opts)
        command = host_command(
            f"{name}-pairs",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.CERTIFICATES,
            calls=certificate_calls(broker, transport.socket, external),
            shown=preview_texts(broker),
            record=record,
            # The script connects to the listeners from the host's network to check them.
            network_admin=True,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )
        self.in_place = command
        # Not a secret: the script prints only public data.
        self.public = Output.unsecret(command.stdout).apply(
            lambda stdout: describe_certificates(stdout or "")
        )
        self.register_outputs({"public": self.public})
