"""The Mosquitto container: locked down, replaced by what only a start applies, and proven up."""

from collections.abc import Iterable

import pulumi_docker as docker
from pulumi import ComponentResource, Input, Output, ResourceOptions

from broker.firewall.backend import short_name
from broker.host.layout import (
    database_call,
    guard_call,
    health_environment,
    health_test,
    ports_on_host,
    ready_call,
)
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR
from broker.settings.broker_settings import Broker
from components.host_command import host_command

# The provider reports an update of these and calls no API: they must replace to come true.
SILENT_UPDATES = ["healthcheck", "tmpfs", "init", "mounts"]


class BrokerContainer(ComponentResource):
    """A broker that answers: the component is complete when its health user has logged in."""

    container_id: Output[str]

    network: Output[str] | None = None
    """The broker's own, by name, where it has one."""

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        broker: Broker,
        transport: Transport,
        image: Input[str],
        image_id: Input[str],
        digest: str,
        published: Iterable[tuple[int, str]],
        reserved: bool = True,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:BrokerContainer", name, {}, opts)

        database = Output.from_input(image).apply(
            lambda it: database_call(broker, transport.socket, it)
        )
        guard = host_command(
            f"{name}-guard",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.BEFORE_START,
            calls=database.apply(lambda it: [it, guard_call(broker, digest)]),
            # A tag that was built anew is another image under the same digest of the settings.
            shown={"start": digest, "image": image_id},
            opts=ResourceOptions(parent=self),
        )
        network = None
        if broker.network == "published":
            network = docker.Network(
                f"{name}-network",
                name=broker.container,
                driver="bridge",
                # The firewall's rules name it, and stand before it is there.
                options={"com.docker.network.bridge.name": short_name(broker.container)},
                opts=ResourceOptions(parent=self),
            )
            self.network = network.name
        container = docker.Container(
            name,
            name=broker.container,
            image=image_id,
            # Named, not the image's own: an image whose default changed must not open a broker.
            command=["/usr/sbin/mosquitto", "-c", f"{CONFIG_DIR}/{broker.files.conf}"],
            user=f"{broker.owner.uid}:{broker.owner.gid}",
            read_only=True,
            # Mosquitto reaps nobody's orphans: each would count as a process until the next start.
            init=True,
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            envs=health_environment(),
            network_mode="host" if network is None else "bridge",
            networks_advanced=None
            if network is None
            else [docker.ContainerNetworksAdvancedArgs(name=network.name)],
            ports=None
            if network is None
            else [
                docker.ContainerPortArgs(internal=port, external=port, ip=address)
                for port, address in published
            ],
            # `volumes`, not `mounts`: a change of a mount is one of the silent updates.
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=broker.folders.config, container_path=CONFIG_DIR, read_only=True
                ),
                docker.ContainerVolumeArgs(host_path=broker.folders.data, container_path=DATA_DIR),
                docker.ContainerVolumeArgs(host_path=broker.folders.log, container_path=LOG_DIR),
            ],
            ulimits=[
                docker.ContainerUlimitArgs(
                    name="nofile", soft=broker.limits.descriptors, hard=broker.limits.descriptors
                )
            ],
            memory=broker.limits.memory,
            memory_swap=broker.limits.memory,
            restart=broker.restart,
            stop_signal="SIGTERM",
            stop_timeout=broker.stop_grace,
            # Without it the provider stops with no grace at all, and the database is not saved.
            destroy_grace_seconds=broker.stop_grace,
            log_driver="json-file",
            log_opts={
                "max-size": broker.logging.max_size,
                "max-file": str(broker.logging.max_files),
            },
            healthcheck=docker.ContainerHealthcheckArgs(
                tests=health_test(broker),
                interval=_duration(broker.health.interval),
                timeout=_duration(broker.health.timeout),
                retries=broker.health.retries,
                start_period="0s",
            ),
            labels=[
                docker.ContainerLabelArgs(label="sentient-mqtt.stack", value=stack),
                docker.ContainerLabelArgs(label="sentient-mqtt.configuration", value=digest),
                docker.ContainerLabelArgs(
                    label="sentient-mqtt.port", value=str(broker.mqtt_listener()[1].port)
                ),
                docker.ContainerLabelArgs(
                    label="sentient-mqtt.address", value=broker.address_in_container
                ),
                docker.ContainerLabelArgs(
                    label="sentient-mqtt.ports",
                    value=" ".join(str(each) for each in ports_on_host(broker, reserved=reserved)),
                ),
                # A label more replaces a container: one that is kept has none.
                *(
                    [
                        docker.ContainerLabelArgs(
                            label="sentient-mqtt.reserved", value=str(broker.reserved_port)
                        )
                    ]
                    if reserved
                    else []
                ),
            ],
            must_run=True,
            opts=ResourceOptions(
                parent=self,
                depends_on=[guard],
                delete_before_replace=True,
                replace_on_changes=SILENT_UPDATES,
            ),
        )
        self.container_id = container.id

        host_command(
            f"{name}-ready",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.AWAIT_READY,
            calls=database.apply(lambda it: [it, ready_call(broker)]),
            shown={"container": container.id},
            opts=ResourceOptions(parent=self, depends_on=[container]),
        )
        self.register_outputs({"container_id": self.container_id})


def _duration(seconds: int) -> str:
    """Return *seconds* as Go writes a duration: any other form is a change on every preview."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
