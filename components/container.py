"""The Mosquitto container: restricted, replaced if a change needs a start, and verified."""

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

# The provider reports an update of these properties without calling the Docker API. A change takes
# effect only if it replaces the container.
SILENT_UPDATES = ["healthcheck", "tmpfs", "init", "mounts"]


class BrokerContainer(ComponentResource):
    """A running broker: the component is complete once the health user has logged in."""

    container_id: Output[str]

    network: Output[str] | None = None
    """The name of the broker's Docker network; None on the host's network."""

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
        swap_limited: bool = True,
        reserved: bool = True,
        network_to_import: str = "",
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:BrokerContainer", name, {}, opts)

        database = Output.from_input(image).apply(
            lambda name: database_call(broker, transport.socket, name)
        )
        guard = host_command(
            f"{name}-guard",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.PREPARE_REPLACEMENT,
            calls=database.apply(lambda call: [call, guard_call(broker, digest)]),
            # The image ID detects a rebuilt tag, which the digest of the settings does not.
            shown={"start": digest, "image": image_id},
            opts=ResourceOptions(parent=self),
        )
        network = None
        if broker.network == "published":
            network = docker.Network(
                f"{name}-network",
                name=broker.container,
                driver="bridge",
                # A fixed name: the firewall rules refer to it before the network exists.
                options={"com.docker.network.bridge.name": short_name(broker.container)},
                # Docker can't remove the network that a broker of another state uses.
                opts=ResourceOptions(parent=self, import_=network_to_import or None),
            )
            self.network = network.name
        container = docker.Container(
            name,
            name=broker.container,
            image=image_id,
            # Explicit: the default command of another image may start an open broker.
            command=["/usr/sbin/mosquitto", "-c", f"{CONFIG_DIR}/{broker.files.conf}"],
            user=f"{broker.owner.uid}:{broker.owner.gid}",
            read_only=True,
            # Mosquitto does not reap orphans; without init they count as processes until a restart.
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
            volumes=_volumes(broker),
            ulimits=[
                docker.ContainerUlimitArgs(
                    name="nofile", soft=broker.limits.descriptors, hard=broker.limits.descriptors
                )
            ],
            memory=broker.limits.memory,
            # Docker's own value where the kernel can't limit swap: another is a change at each up.
            memory_swap=broker.limits.memory if swap_limited else -1,
            restart=broker.restart,
            stop_signal="SIGTERM",
            stop_timeout=broker.stop_grace,
            # Without it the provider kills the container at once, and the database is not saved.
            destroy_grace_seconds=broker.stop_grace,
            log_driver="json-file",
            log_opts={
                "max-size": broker.logging.max_size,
                "max-file": str(broker.logging.max_files),
            },
            healthcheck=_healthcheck(broker),
            labels=_labels(broker, stack, digest, reserved=reserved),
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
            calls=database.apply(lambda call: [call, ready_call(broker)]),
            shown={"container": container.id},
            opts=ResourceOptions(parent=self, depends_on=[container]),
        )
        self.register_outputs({"container_id": self.container_id})


def _volumes(broker: Broker) -> list[docker.ContainerVolumeArgs]:
    """Return the volumes; not `mounts`, see SILENT_UPDATES."""
    folders = broker.folders
    return [
        docker.ContainerVolumeArgs(
            host_path=folders.config, container_path=CONFIG_DIR, read_only=True
        ),
        docker.ContainerVolumeArgs(host_path=folders.data, container_path=DATA_DIR),
        docker.ContainerVolumeArgs(host_path=folders.log, container_path=LOG_DIR),
    ]


def _healthcheck(broker: Broker) -> docker.ContainerHealthcheckArgs:
    return docker.ContainerHealthcheckArgs(
        tests=health_test(broker),
        interval=_duration(broker.health.interval),
        timeout=_duration(broker.health.timeout),
        retries=broker.health.retries,
        start_period="0s",
    )


def _labels(
    broker: Broker, stack: str, digest: str, *, reserved: bool
) -> list[docker.ContainerLabelArgs]:
    ports = ports_on_host(broker, reserved=reserved)
    labels = {
        "stack": stack,
        "configuration": digest,
        "port": str(broker.mqtt_listener()[1].port),
        "address": broker.address_in_container,
        "ports": " ".join(str(port) for port in ports),
    }
    if reserved:
        # Without the reserved listener there is no such label: a new label replaces the container.
        labels["reserved"] = str(broker.reserved_port)
    return [
        docker.ContainerLabelArgs(label=f"sentient-mqtt.{name}", value=value)
        for name, value in labels.items()
    ]


def _duration(seconds: int) -> str:
    """Return *seconds* as Go prints a duration; any other form shows a change in every preview."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
