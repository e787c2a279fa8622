"""The top-level component: a Mosquitto broker on a Docker host, with all its resources."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pulumi
import pulumi_docker as docker
from pulumi import Alias, ComponentResource, Output, Resource, ResourceOptions

from broker.access.description import describe_access
from broker.credentials.env_files import endpoints, login, render_env
from broker.credentials.password_ages import describe_rotations, generations, rotation_fixes
from broker.firewall.rules import describe_firewall
from broker.host import drift
from broker.plan import Plan
from broker.settings.cron_schedule import CronSchedule
from broker.usage import render_usage
from components.backups import Backups
from components.configuration import Configuration
from components.container import BrokerContainer
from components.credentials import Credentials
from components.env_files import EnvFiles
from components.firewall import Firewall
from components.identity import Identity
from components.monitoring import Monitoring
from components.password_ages import PasswordAges


class MqttBroker(ComponentResource):
    """
    Credentials, files, firewall, container, backups and monitoring of one broker.

    The child resources have the same names as in version 0.1, where they had no parent, and an
    alias without a parent. With an older state, no password is generated again and no container
    is replaced. Because the names are fixed, a stack can have only one MqttBroker.
    """

    logins: dict[str, Output[dict[str, str]]]
    """User name, password and URL, by user. Secret."""

    env_files: dict[str, Output[str]]
    """The text of an env file, by user. Secret."""

    fleet_seeds: dict[str, Output[str]]
    """The seed of the passwords of a fleet's members, by kind. Secret."""

    access: dict[str, Any]
    """Who may do what."""

    rotations: Output[dict[str, dict[str, str]]]
    """The time of the last rotation, by user."""

    endpoints: dict[str, str]
    """The URL, by listener."""

    firewall: dict[str, Any]
    """Who may reach which port."""

    certificates: Output[dict[str, Any]] | None
    """Public data of the listeners' certificates; None without TLS listeners."""

    image: str
    """The image of the container."""

    readme: str
    """How to use the broker, in Markdown."""

    def __init__(self, name: str, plan: Plan, opts: ResourceOptions | None = None) -> None:
        super().__init__("sentient-mqtt:index:MqttBroker", name, {}, opts)
        self._plan = plan
        broker, transport = plan.broker, plan.transport
        self._provider = docker.Provider(
            "host",
            host=transport.host,
            ssh_opts=list(transport.ssh_options) or None,
            opts=self._child(),
        )
        self._image = docker.RemoteImage(
            "image", name=plan.image, keep_locally=True, opts=self._child(provider=self._provider)
        )
        self._credentials = Credentials(
            "credentials",
            generations=plan.generations,
            passwords=broker.passwords,
            fleets=plan.settings.fleets,
            external=plan.external_passwords,
            hashes=plan.adopted_hashes,
            opts=self._child(),
        )
        ages = PasswordAges(
            "rotations",
            generations=generations(plan.settings),
            max_age_days=broker.passwords.max_age_days,
            fixes=rotation_fixes(plan.settings),
            opts=self._child(),
        )
        identity = self._identity()
        self._claimed = identity.claimed
        # The container depends on the files and on the firewall rules.
        configuration = self._configuration()
        firewall = self._firewall()
        container = self._container(
            [configuration.in_place, *([firewall.in_force] if firewall else [])]
        )
        env_files = self._env_files(container)
        backups = self._backups(container)
        monitoring = self._monitoring(container)
        all_but_firewall = (configuration, container, env_files, backups, monitoring)
        on_host: list[Resource] = [component for component in all_but_firewall if component]
        if firewall is not None:
            # Nothing listens on the former ports any more, so their rules can be removed.
            on_host += [
                firewall,
                firewall.close_former_ports([container, *([monitoring] if monitoring else [])]),
            ]
        identity.complete(on_host)

        self.logins = self._by_user(login)
        self.env_files = self._by_user(render_env, without=plan.misread_in_env_files)
        self.fleet_seeds = self._credentials.fleet_seeds
        self.access = describe_access(plan.settings)
        self.rotations = ages.rotated_at.apply(partial(describe_rotations, plan.settings))
        self.endpoints = endpoints(broker)
        self.firewall = describe_firewall(broker, plan.firewall)
        self.certificates = configuration.certificates
        self.image = plan.image
        self.readme = render_usage(plan.settings, plan.stack, plan.image)
        self.register_outputs({"endpoints": self.endpoints, "image": self.image})

    def _child(self, **more: Any) -> ResourceOptions:
        """Return the options of a child resource that had no parent in version 0.1."""
        aliases = [Alias(parent=pulumi.ROOT_STACK_RESOURCE)]
        return ResourceOptions(parent=self, aliases=aliases, **more)

    def _identity(self) -> Identity:
        plan = self._plan
        return Identity(
            "identity",
            broker=plan.broker,
            stack=plan.stack,
            transport=plan.transport,
            image=self._image.name,
            deployment=plan.deployment,
            record=plan.record,
            opts=self._child(),
        )

    def _configuration(self) -> Configuration:
        plan, credentials = self._plan, self._credentials
        return Configuration(
            "configuration",
            broker=plan.broker,
            transport=plan.transport,
            image=self._image.name,
            conf=plan.conf,
            acl=plan.acl,
            passwd=credentials.passwd,
            health_password=credentials.passwords[plan.broker.health.user],
            seed=credentials.seed,
            stamps=plan.stamps,
            record=plan.record,
            withdrawn=plan.withdrawn,
            external_certificates=plan.external_certificates,
            opts=self._child(depends_on=[self._claimed]),
        )

    def _firewall(self) -> Firewall | None:
        plan = self._plan
        if plan.firewall is None:
            return None
        return Firewall(
            "firewall",
            broker=plan.broker,
            transport=plan.transport,
            image=self._image.name,
            choice=plan.firewall,
            record=plan.record(drift.FIREWALL),
            opts=self._child(depends_on=[self._claimed]),
        )

    def _container(self, depends_on: list[Resource]) -> BrokerContainer:
        plan = self._plan
        return BrokerContainer(
            "broker",
            stack=plan.stack,
            broker=plan.broker,
            transport=plan.transport,
            image=self._image.name,
            image_name=plan.image,
            image_id=self._image.image_id,
            digest=plan.start_digest,
            published=plan.published_ports,
            swap_limited=plan.swap_limited,
            record=plan.record(drift.CONTAINER),
            label=plan.labels[drift.CONTAINER],
            network_label=plan.labels[drift.NETWORK],
            reserved=plan.reserved,
            network_to_import=plan.network_to_import,
            opts=self._child(providers={"docker": self._provider}, depends_on=depends_on),
        )

    def _env_files(self, container: BrokerContainer) -> EnvFiles:
        plan = self._plan
        return EnvFiles(
            "envfiles",
            broker=plan.broker,
            stack=plan.stack,
            transport=plan.transport,
            image=self._image.name,
            record=plan.record,
            active=plan.active_logins,
            passwords=self._credentials.passwords,
            opts=self._child(depends_on=[container]),
        )

    def _backups(self, container: BrokerContainer) -> Backups | None:
        plan, declared = self._plan, self._plan.broker.backups
        if declared is None or declared.schedule is None:
            return None
        return Backups(
            "backups",
            broker=plan.broker,
            declared=declared,
            schedule=CronSchedule.parse(declared.schedule),
            stack=plan.stack,
            record=plan.record(drift.BACKUPS),
            transport=plan.transport,
            image=self._image.name,
            opts=self._child(depends_on=[container]),
        )

    def _monitoring(self, container: BrokerContainer) -> Monitoring | None:
        plan, declared = self._plan, self._plan.broker.monitoring
        if declared is None:
            return None
        login = plan.active_logins[declared.user]
        return Monitoring(
            "monitoring",
            stack=plan.stack,
            broker=plan.broker,
            declared=declared,
            transport=plan.transport,
            image=self._image.name,
            image_name=plan.image,
            exporter_image=plan.exporter_image,
            network=container.network,
            swap_limited=plan.swap_limited,
            login=login,
            generation=plan.settings.users[declared.user].generation,
            password=self._credentials.passwords[login],
            record=plan.record,
            label=plan.labels[drift.EXPORTER_CONTAINER],
            opts=self._child(providers={"docker": self._provider}, depends_on=[container]),
        )

    def _by_user(self, render: Any, without: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Return *render* applied to each known password, by user."""
        plan, listener = self._plan, self._plan.broker.dialled_listener()
        return {
            user: self._credentials.passwords[active].apply(
                partial(render, plan.broker, listener, active)
            )
            for user, active in plan.known_logins.items()
            if user not in (without or {})
        }
