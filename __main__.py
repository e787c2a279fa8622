"""
One Mosquitto broker per stack.

Read from top to bottom: the settings, the texts that follow from them, the resources that put
them on the host, and what the stack gives back. Nothing below is used above.
"""

from datetime import UTC, datetime
from functools import partial

import pulumi
import pulumi_docker as docker

from broker.access.description import describe_access
from broker.access.review import review
from broker.credentials.env_files import endpoints, login, render_env
from broker.credentials.external_secrets import leftovers, misread_in_env_files, pairs, problems
from broker.credentials.external_secrets import required_secrets as wanted_secrets
from broker.credentials.logins import logins
from broker.credentials.password_ages import describe_rotations, generations
from broker.credentials.password_ages import renewals as renewals_of_passwords
from broker.firewall.drift import remarks, revision
from broker.firewall.rules import choose, describe_firewall, is_declared
from broker.firewall.rules import problems as problems_of_firewall
from broker.host.facts import transport
from broker.host.layout import publications
from broker.host.requirements import host_requirements
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.impact import impacts, remembered, withdrawn
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import reserved_port_problems, reserves, start_digest
from broker.settings.cron_schedule import CronSchedule
from broker.settings.stack_settings import Settings, SettingsError
from broker.tls.certificates import problems as problems_of_certificates
from broker.tls.certificates import remarks as remarks_on_certificates
from broker.tls.certificates import renewals
from broker.tls.certificates import revision as turn_of_certificates
from broker.usage import render_usage
from components import (
    Backups,
    BrokerContainer,
    Configuration,
    Credentials,
    EnvFiles,
    Firewall,
    Monitoring,
    PasswordAges,
)
from components.host_probe import probe_host
from components.stack_config import read_secrets, read_stack_file

stack = pulumi.get_stack()
try:
    settings = Settings.parse(read_stack_file())
except SettingsError as wrong:
    raise pulumi.RunError(str(wrong)) from None
secrets, now = read_secrets(), datetime.now(UTC)
if wrong_secrets := problems(settings, secrets, now):
    raise pulumi.RunError("\n".join(wrong_secrets))
reviewed = review(settings, stack)
for line in (*reviewed.warnings, *leftovers(settings, secrets, now)):
    pulumi.log.warn(line)
if reviewed.errors:
    raise pulumi.RunError("\n".join(reviewed.errors))
broker = settings.broker

# Where. Looked at before anything is changed there.
host = transport(broker.host, broker.ssh_config)
wanted = host_requirements(settings, stack)
seen = probe_host(host, wanted)
image_name = seen.present_image(wanted.image, wanted.stand_in)
reserved = reserves(broker, seen, image_name)
digest = start_digest(broker, image_name, reserved=reserved)
for line in impacts(wanted, seen, digest):
    pulumi.log.info(line)
firewall = choose(broker, seen) if is_declared(broker) else None
if wrong_host := [
    *problems_of_firewall(broker, seen),
    *problems_of_certificates(broker, seen),
    *reserved_port_problems(broker, seen, reserved=reserved),
]:
    raise pulumi.RunError("\n".join(wrong_host))
for line in (*remarks(broker, seen), *remarks_on_certificates(broker, seen)):
    pulumi.log.warn(line)
for line in renewals(broker, seen):
    pulumi.log.info(line)
provider = docker.Provider("host", host=host.host, ssh_opts=list(host.ssh_options) or None)
on_host = pulumi.ResourceOptions(provider=provider)
image = docker.RemoteImage("image", name=image_name, keep_locally=True, opts=on_host)

# Who may log in.
known = {name: user.password for name, user in settings.users.items()}
active = {each.user: each.name for each in logins(settings) if each.active}
generated = {e.name: e.generation for e in logins(settings) if known[e.user] == "generated"}
credentials = Credentials(
    "credentials",
    generations={**generated, broker.health.user: broker.health.generation},
    passwords=broker.passwords,
    fleets=settings.fleets,
    supplied=wanted_secrets(settings, secrets, "supplied"),
    hashes=wanted_secrets(settings, secrets, "adopted"),
)
rotations = PasswordAges(
    "rotations",
    generations=generations(settings),
    max_age_days=broker.passwords.max_age_days,
    renewals=renewals_of_passwords(settings),
)

# To what. Folders, then files, then the container that reads them.
configuration = Configuration(
    "configuration",
    broker=broker,
    transport=host,
    image=image.name,
    conf=render_conf(broker, reserved=reserved),
    acl=render_acl(settings),
    passwd=credentials.passwd,
    health_password=credentials.passwords[broker.health.user],
    seed=credentials.seed,
    stamps=remembered(settings),
    turn=turn_of_certificates(broker, seen),
    withdrawn=withdrawn(seen),
    pairs=pairs(settings, secrets),
)
guarded: list[pulumi.Resource] = [configuration.in_place]
rules = None
if firewall is not None:
    rules = Firewall(
        "firewall",
        broker=broker,
        transport=host,
        image=image.name,
        choice=firewall,
        turn=revision(broker, seen),
    )
    guarded.append(rules.in_force)
container = BrokerContainer(
    "broker",
    stack=stack,
    broker=broker,
    transport=host,
    image=image.name,
    image_id=image.image_id,
    digest=digest,
    published=publications(broker, seen),
    reserved=reserved,
    opts=pulumi.ResourceOptions(providers={"docker": provider}, depends_on=guarded),
)
EnvFiles(
    "envfiles",
    broker=broker,
    stack=stack,
    transport=host,
    image=image.name,
    active=active,
    passwords=credentials.passwords,
    opts=pulumi.ResourceOptions(depends_on=[container]),
)
if broker.backups is not None and broker.backups.schedule is not None:
    Backups(
        "backups",
        broker=broker,
        declared=broker.backups,
        timetable=CronSchedule.parse(broker.backups.schedule),
        stack=stack,
        transport=host,
        image=image.name,
        opts=pulumi.ResourceOptions(depends_on=[container]),
    )

listening: list[pulumi.Resource] = [container]
if broker.monitoring is not None:
    reader = broker.monitoring.user
    monitoring = Monitoring(
        "monitoring",
        stack=stack,
        broker=broker,
        declared=broker.monitoring,
        transport=host,
        image=image.name,
        exporter_image=seen.present_image(wanted.exporter, wanted.exporter_stand_in),
        network=container.network,
        login=active[reader],
        generation=settings.users[reader].generation,
        password=credentials.passwords[active[reader]],
        opts=pulumi.ResourceOptions(providers={"docker": provider}, depends_on=[container]),
    )
    listening.append(monitoring)
if rules is not None:
    rules.leave_former(listening)

# How to get in: `pulumi stack output credentials --show-secrets`.
listener = broker.dialled_listener()
passwords = {
    name: credentials.passwords[login] for name, login in active.items() if known[name] != "adopted"
}
misread = misread_in_env_files(settings, secrets)
for output, render, left_out in (("credentials", login, {}), ("envFiles", render_env, misread)):
    pulumi.export(
        output,
        {
            name: password.apply(partial(render, broker, listener, active[name]))
            for name, password in passwords.items()
            if name not in left_out
        },
    )
if settings.fleets:
    pulumi.export("fleetSeeds", credentials.fleet_seeds)
pulumi.export("access", describe_access(settings))
pulumi.export("rotations", rotations.rotated_at.apply(partial(describe_rotations, settings)))
pulumi.export("endpoints", endpoints(broker))
pulumi.export("firewall", describe_firewall(broker, firewall))
if configuration.certificates is not None:
    pulumi.export("certificates", configuration.certificates)
pulumi.export("image", image_name)
pulumi.export("readme", render_usage(settings, stack, image_name))
