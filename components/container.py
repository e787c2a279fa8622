"""The Mosquitto container: restricted, replaced if a change needs a start, and verified."""

from collections.abc import Iterable

import pulumi_docker as docker
from pulumi import ComponentResource, Input, Output, ResourceOptions

from broker.firewall.backend import short_name
from broker.host.layout import (
    bring_back_calls,
    guard_calls,
    health_environment,
    health_test,
    ports_on_host,
    ready_calls,
)
from broker.host.script_calls import Record
from broker.host.script_functions import PrepareReplacement, RemoveOrphan
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR
from broker.settings.broker_settings import Broker
from components.creation_hooks import before_create, bring_back
from components.host_command import host_command

PREFIX, REVISION = "sentient-mqtt.", "revision"
"""
The label that replaces a container, or the network, which somebody changed on the host
(broker/host/drift.py). It is absent until that happens.
"""

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
        image_name: str,
        image_id: Input[str],
        digest: str,
        published: Iterable[tuple[int, str]],
        record: Record,
        label: str = "",
        network_label: str = "",
        swap_limited: bool = True,
        reserved: bool = True,
        network_to_import: str = "",
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:BrokerContainer", name, {}, opts)

        socket, known_image = transport.socket, Output.from_input(image)
        guard = host_command(
            f"{name}-guard",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.PREPARE_REPLACEMENT,
            calls=known_image.apply(lambda name: guard_calls(broker, socket, name, digest)),
            # The image ID detects a rebuilt tag, which the digest of the settings does not.
            shown={"start": digest, "image": image_id, **({"revision": label} if label else {})},
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
                labels=[docker.NetworkLabelArgs(label=PREFIX + REVISION, value=network_label)]
                if network_label
                else None,
                opts=ResourceOptions(
                    parent=self,
                    # The replacement of a lost network begins with the removal of the container.
                    depends_on=[guard],
                    # Docker can't remove the network that a broker of another state uses.
                    import_=network_to_import or None,
                    hooks=before_create(
                        f"{name}-network",
                        transport=transport,
                        become=broker.become,
                        image=image_name,
                        script=HostScript.REMOVE_ORPHAN,
                        calls=[
                            RemoveOrphan.network(
                                socket=socket,
                                name=broker.container,
                                bridge=short_name(broker.container),
                            )
                        ],
                    ),
                ),
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
            labels=_labels(broker, stack, digest, label, reserved=reserved),
            must_run=True,
            opts=ResourceOptions(
                parent=self,
                depends_on=[guard],
                delete_before_replace=True,
                replace_on_changes=SILENT_UPDATES,
                hooks=before_create(
                    name,
                    transport=transport,
                    become=broker.become,
                    image=image_name,
                    script=HostScript.PREPARE_REPLACEMENT,
                    calls=[
                        *guard_calls(broker, socket, image_name, digest),
                        PrepareReplacement.take_over(
                            stack=stack,
                            config_folder=broker.folders.config,
                            seconds=broker.stop_grace,
                        ),
                    ],
                    on_error=bring_back(
                        name,
                        container=broker.container,
                        transport=transport,
                        become=broker.become,
                        image=image_name,
                        calls=bring_back_calls(broker, socket, image_name),
                    ),
                ),
            ),
        )
        self.container_id = container.id

        host_command(
            f"{name}-ready",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.AWAIT_READY,
            calls=Output.all(known_image, container.id).apply(
                lambda known: ready_calls(broker, socket, known[0], known[1])
            ),
            shown={"container": container.id},
            record=record,
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
    broker: Broker, stack: str, digest: str, revision: str, *, reserved: bool
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
    if revision:
        labels[REVISION] = revision
    return [
        docker.ContainerLabelArgs(label=f"{PREFIX}{name}", value=value)
        for name, value in labels.items()
    ]


def _duration(seconds: int) -> str:
    """Return *seconds* as Go prints a duration; any other form shows a change in every preview."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
