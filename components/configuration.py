"""The broker's folders, certificates and configuration files on the host."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from broker.host import drift
from broker.host.layout import apply_calls, configuration_files, folder_calls
from broker.host.script_calls import Record
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.logs.logrotate import logrotate_calls, logrotate_path, render_logrotate
from broker.settings.broker_settings import Broker
from components.certificates import Certificates
from components.host_command import host_command, show


class Configuration(ComponentResource):
    """
    Create the folders, then install all files or none.

    A running broker loads changed users and rules without a restart.
    """

    in_place: Resource
    """A resource that reads the files must depend on this one."""

    certificates: Output[dict[str, Any]] | None = None
    """Public data of the listeners' certificates; None without TLS listeners."""

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
        record: Callable[[str], Record],
        withdrawn: str = "",
        external_certificates: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Configuration", name, {}, opts)

        folders = host_command(
            f"{name}-folders",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.FOLDERS,
            calls=Output.from_input(image).apply(partial(folder_calls, broker, transport.socket)),
            shown={
                call.words[2]: " ".join(call.words[3:6])
                for call in folder_calls(broker, transport.socket, "")
                if call.words[0] == "folder"
            },
            record=record(drift.FOLDERS),
            opts=ResourceOptions(parent=self),
        )
        host_command(
            # The file depends on the container's name: with a new name, the old resource and its
            # file are deleted.
            f"{name}-logrotate-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.LOGROTATE,
            calls=logrotate_calls(broker),
            shown={logrotate_path(broker): render_logrotate(broker)},
            record=record(drift.LOGROTATE),
            opts=ResourceOptions(parent=self, depends_on=[folders]),
        )
        dependencies: list[Resource] = [folders]
        if broker.tls_listeners:
            # The trial broker, which checks the files, loads the certificates that they name.
            certificates = Certificates(
                f"{name}-certificates",
                broker=broker,
                transport=transport,
                image=image,
                record=record(drift.CERTIFICATES),
                external=external_certificates or {},
                after=dependencies,
                opts=ResourceOptions(parent=self),
            )
            dependencies = [certificates.in_place]
            self.certificates = certificates.public
        calls = Output.all(passwd, health_password, seed, image).apply(
            lambda values: apply_calls(
                broker,
                transport.socket,
                values[3],
                configuration_files(
                    broker,
                    conf=conf,
                    acl=acl,
                    passwd=values[0],
                    health_password=values[1],
                    seed=values[2],
                    stamps=stamps,
                    revision=record(drift.CONFIGURATION).revision,
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
                # The host took back a change without completing it: install the files again, even
                # if they equal those in the state.
                **({"withdrawn": withdrawn} if withdrawn else {}),
            },
            record=record(drift.CONFIGURATION),
            opts=ResourceOptions(parent=self, depends_on=dependencies),
        )
        self.register_outputs({})
