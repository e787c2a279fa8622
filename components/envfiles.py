"""Env files on the host, from which services there read how to log in."""

from collections.abc import Mapping

from pulumi import ComponentResource, Input, Output, ResourceOptions

from broker.env import host_env_files
from broker.host import Transport
from broker.site import Broker
from components.hostcommand import host_command


class EnvFiles(ComponentResource):
    """The chosen env files, mode 0600, written once the broker lets their users in."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        stack: str,
        transport: Transport,
        image: Input[str],
        passwords: Mapping[str, Output[str]],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:EnvFiles", name, {}, opts)
        if broker.env_files:
            chosen = {each.user: passwords[each.user] for each in broker.env_files}
            host_command(
                name,
                transport=transport,
                become=broker.become,
                image=image,
                scripts=("files.sh",),
                calls=Output.all(**chosen).apply(
                    lambda plain: [each.call() for each in host_env_files(broker, stack, plain)]
                ),
                shown={each.path: each.user for each in broker.env_files},
                opts=ResourceOptions(parent=self),
            )
        self.register_outputs({})
