"""The folders on the host, certificates and the broker's files, put in place all or none."""

from collections.abc import Mapping
from typing import Any

from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from broker.host.layout import apply_calls, configuration_files, folder_calls
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.logs.logrotate import logrotate_calls, logrotate_path, render_logrotate
from broker.settings.broker_settings import Broker
from components.certificates import Certificates
from components.host_command import host_command, show


class Configuration(ComponentResource):
    """Folders, then files. A broker that runs reads changed users and rules without a restart."""

    in_place: Resource
    """Who reads the files depends on this."""

    certificates: Output[dict[str, Any]] | None = None
    """What is public of the listeners' certificates, where there are any."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        transport: Transport,
        image: Input[str],
        conf: str,
        acl: str,
        passwd: Output[str],
        health_password: Output[str],
        seed: Output[str],
        stamps: Mapping[str, str],
        revision: str = "1",
        withdrawn: str = "",
        pairs: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Configuration", name, {}, opts)

        folders = host_command(
            f"{name}-folders",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.FOLDERS,
            calls=folder_calls(broker),
            shown={
                call.words[2]: " ".join(call.words[3:6])
                for call in folder_calls(broker)
                if call.words[0] == "folder"
            },
            opts=ResourceOptions(parent=self),
        )
        host_command(
            # A container of another name has another file, and the one before goes with it.
            f"{name}-logrotate-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.LOGROTATE,
            calls=logrotate_calls(broker),
            shown={logrotate_path(broker): render_logrotate(broker)},
            opts=ResourceOptions(parent=self, depends_on=[folders]),
        )
        before: list[Resource] = [folders]
        if broker.tls_listeners:
            # A trial of the files starts with the certificates that they name.
            certificates = Certificates(
                f"{name}-certificates",
                broker=broker,
                transport=transport,
                image=image,
                revision=revision,
                pairs=pairs or {},
                after=before,
                opts=ResourceOptions(parent=self),
            )
            before = [certificates.in_place]
            self.certificates = certificates.public
        calls = Output.all(passwd, health_password, seed, image).apply(
            lambda known: apply_calls(
                broker,
                transport.socket,
                known[3],
                configuration_files(
                    broker,
                    conf=conf,
                    acl=acl,
                    passwd=known[0],
                    health_password=known[1],
                    seed=known[2],
                    stamps=stamps,
                ),
            )
        )
        self.in_place = host_command(
            f"{name}-files",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.APPLY_CONFIGURATION,
            calls=calls,
            shown={
                broker.files.conf: show(conf),
                broker.files.acl: show(acl),
                # The host has less than this: to be put in place, be it what the state has already.
                **({"withdrawn": withdrawn} if withdrawn else {}),
            },
            opts=ResourceOptions(parent=self, depends_on=before),
        )
        self.register_outputs({})
