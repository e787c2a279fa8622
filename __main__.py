"""
One Mosquitto broker per stack.

Read from top to bottom: the settings, the texts that follow from them, the resources that put
them on the host, and what the stack gives back. Nothing below is used above.
"""

from functools import partial

import pulumi
import pulumi_docker as docker

from broker.access import describe_access
from broker.acl import render_acl
from broker.conf import render_conf
from broker.env import endpoints, login, render_env
from broker.host import transport
from broker.manual import render_manual
from broker.review import review
from broker.settings import Settings, SettingsError
from broker.wanted import wanted_of_host
from components import BrokerContainer, Configuration, Credentials, EnvFiles
from components.preflight import look
from components.stackfile import read_stack_file

stack = pulumi.get_stack()
try:
    settings = Settings.parse(read_stack_file())
except SettingsError as wrong:
    raise pulumi.RunError(str(wrong)) from None
reviewed = review(settings, stack)
for line in reviewed.warnings:
    pulumi.log.warn(line)
if reviewed.errors:
    raise pulumi.RunError("\n".join(reviewed.errors))
broker = settings.broker

if any(each.allow_from for each in broker.listeners.values()):
    pulumi.log.warn("allowFrom is checked and shown, and not enforced: no firewall is set up yet.")

# Where. Looked at before anything is changed there.
host = transport(broker.host, broker.ssh_config)
wanted = wanted_of_host(settings, stack)
image_name = look(host, wanted).present_image(wanted)
provider = docker.Provider("host", host=host.host, ssh_opts=list(host.ssh_options) or None)
on_host = pulumi.ResourceOptions(provider=provider)
image = docker.RemoteImage("image", name=image_name, keep_locally=True, opts=on_host)

# Who may log in.
generations = {name: user.generation for name, user in settings.users.items()}
credentials = Credentials(
    "credentials",
    generations={**generations, broker.health.user: broker.health.generation},
    passwords=broker.passwords,
    fleets=settings.fleets,
)

# To what. Folders, then files, then the container that reads them.
configuration = Configuration(
    "configuration",
    broker=broker,
    transport=host,
    image=image.name,
    conf=render_conf(broker),
    acl=render_acl(settings),
    passwd=credentials.passwd,
    health_password=credentials.passwords[broker.health.user],
    seed=credentials.seed,
)
container = BrokerContainer(
    "broker",
    stack=stack,
    broker=broker,
    transport=host,
    image=image.name,
    image_id=image.image_id,
    opts=pulumi.ResourceOptions(
        providers={"docker": provider}, depends_on=[configuration.in_place]
    ),
)
EnvFiles(
    "envfiles",
    broker=broker,
    stack=stack,
    transport=host,
    image=image.name,
    passwords=credentials.passwords,
    opts=pulumi.ResourceOptions(depends_on=[container]),
)

# How to get in: `pulumi stack output credentials --show-secrets`.
_, listener = broker.mqtt_listener()
passwords = {name: credentials.passwords[name] for name in settings.users}
pulumi.export(
    "credentials",
    {
        name: password.apply(partial(login, broker, listener, name))
        for name, password in passwords.items()
    },
)
pulumi.export(
    "envFiles",
    {
        name: password.apply(partial(render_env, broker, listener, name))
        for name, password in passwords.items()
    },
)
if settings.fleets:
    pulumi.export("fleetSeeds", credentials.fleet_seeds)
pulumi.export("access", describe_access(settings))
pulumi.export("endpoints", endpoints(broker))
pulumi.export("image", image_name)
pulumi.export("readme", render_manual(settings, stack, image_name))
