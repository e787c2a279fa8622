"""The listeners' certificates on the host, in place before a broker reads its configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.broker_settings import Broker
from broker.tls.certificates import certificate_calls, describe_certificates, preview_texts
from components.host_command import host_command


class Certificates(ComponentResource):
    """Made or copied, checked, and served by the broker that runs. No key leaves the host."""

    in_place: Resource
    """Who reads them depends on this."""

    public: Output[dict[str, Any]]
    """Fingerprint and end of each listener's certificate, and the stack's own CA."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        transport: Transport,
        image: Input[str],
        revision: str,
        pairs: Mapping[str, str],
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
            calls=certificate_calls(broker, transport.socket, revision, pairs),
            shown=preview_texts(broker, revision),
            # It asks the listeners, from the host's own network, what they serve.
            network_admin=True,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )
        self.in_place = command
        # The script prints what is public, and nothing else.
        self.public = Output.unsecret(command.stdout).apply(
            lambda said: describe_certificates(said or "")
        )
        self.register_outputs({"public": self.public})
