"""Metrics for Prometheus: an exporter beside the broker, and a node_exporter file on its host."""

from collections.abc import Callable
from functools import partial

import pulumi_docker as docker
from pulumi import ComponentResource, Input, Output, ResourceOptions

from broker.host import drift
from broker.host.script_calls import Record, ScriptCall, assemble
from broker.host.script_functions import MendContainer, RemoveOrphan
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.monitoring.mqtt_exporter import (
    CONFIG_DIR,
    CONFIG_FILE,
    config_folder,
    container_of,
    exporter_calls,
    exporter_command,
    render_exporter,
)
from broker.monitoring.node_exporter_metrics import textfile_timer
from broker.settings.broker_settings import Broker
from broker.settings.monitoring_settings import Monitoring as MonitoringSettings
from components.container import PREFIX, REVISION
from components.creation_hooks import before_create
from components.host_command import host_command, read_script, show

MEMORY = 64
"""Of the exporter, in MiB."""


class Monitoring(ComponentResource):
    """An MQTT exporter that logs in as a user of the broker, and the host's metrics file."""

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        broker: Broker,
        declared: MonitoringSettings,
        transport: Transport,
        image: Input[str],
        image_name: str,
        exporter_image: str,
        network: Input[str] | None,
        swap_limited: bool = True,
        login: str,
        generation: str,
        password: Output[str],
        record: Callable[[str], Record],
        label: str = "",
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Monitoring", name, {}, opts)
        folder = config_folder(broker)
        files = host_command(
            # The files depend on the container's name: with a new name, the old resource and its
            # files are deleted.
            f"{name}-files-{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.PUT_FILES,
            calls=password.apply(partial(exporter_calls, broker, login)),
            shown={f"{folder}/{CONFIG_FILE}": show(render_exporter(broker, login, "..."))},
            record=record(drift.EXPORTER),
            opts=ResourceOptions(parent=self),
        )
        pulled = docker.RemoteImage(
            f"{name}-image",
            name=exporter_image,
            keep_locally=True,
            opts=ResourceOptions(parent=self),
        )
        container = docker.Container(
            f"{name}-exporter",
            name=container_of(broker),
            image=pulled.image_id,
            command=exporter_command(broker, declared),
            user=f"{broker.owner.uid}:{broker.owner.gid}",
            read_only=True,
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            network_mode="host" if network is None else "bridge",
            networks_advanced=None
            if network is None
            else [docker.ContainerNetworksAdvancedArgs(name=network)],
            ports=None
            if network is None
            else [
                docker.ContainerPortArgs(
                    internal=declared.port, external=declared.port, ip=declared.bind_address
                )
            ],
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=folder, container_path=CONFIG_DIR, read_only=True
                )
            ],
            memory=MEMORY,
            memory_swap=MEMORY if swap_limited else -1,  # as the broker's container
            restart=broker.restart,
            log_driver="json-file",
            log_opts={"max-size": broker.logging.max_size, "max-file": "1"},
            labels=[
                docker.ContainerLabelArgs(label="sentient-mqtt.stack", value=stack),
                docker.ContainerLabelArgs(label="sentient-mqtt.ports", value=str(declared.port)),
                # The exporter reads its login at its start: a new login replaces the container.
                docker.ContainerLabelArgs(
                    label="sentient-mqtt.login", value=f"{login} {generation}"
                ),
                # As of the broker's container.
                *(
                    [docker.ContainerLabelArgs(label=PREFIX + REVISION, value=label)]
                    if label
                    else []
                ),
            ],
            must_run=True,
            opts=ResourceOptions(
                parent=self,
                depends_on=[files],
                delete_before_replace=True,
                hooks=before_create(
                    f"{name}-exporter",
                    transport=transport,
                    become=broker.become,
                    image=image_name,
                    script=HostScript.REMOVE_ORPHAN,
                    calls=[
                        RemoveOrphan.container(
                            socket=transport.socket,
                            name=container_of(broker),
                            stack=stack,
                            folder=folder,
                        )
                    ],
                ),
            ),
        )
        host_command(
            f"{name}-exporter-ready",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.AWAIT_EXPORTER,
            calls=container.id.apply(partial(_created, broker, transport.socket)),
            shown={"container": container.id},
            record=record(drift.EXPORTER_CONTAINER),
            opts=ResourceOptions(parent=self, depends_on=[container]),
        )
        if declared.textfile is not None:
            timer = partial(
                textfile_timer,
                broker,
                declared.textfile,
                socket=transport.socket,
                script=assemble((HostScript.NODE_EXPORTER_METRICS,), read_script),
            )
            host_command(
                f"{name}-textfile-{broker.container}",
                transport=transport,
                become=broker.become,
                image=image,
                script=HostScript.SCHEDULE,
                calls=Output.from_input(image).apply(lambda name: timer(image=name).calls()),
                shown={"folder": declared.textfile},
                record=record(drift.METRICS),
                opts=ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _created(broker: Broker, socket: str, identity: str) -> list[ScriptCall]:
    """Return the call about the exporter's container with that id."""
    return [
        MendContainer.created(
            socket=socket,
            name=container_of(broker),
            identity=identity,
            network=broker.container if broker.network == "published" else "",
            restart=broker.restart,
            memory=MEMORY,
            processes=None,
        )
    ]
