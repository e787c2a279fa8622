"""Deploy one Mosquitto broker per stack: settings, host facts, plan, resources, exports."""

import os
from datetime import UTC, datetime

import pulumi

from broker.host.ownership import TAKE_OVER
from broker.host.requirements import host_requirements
from broker.host.transport import transport
from broker.plan import check_settings, make_plan
from components import MqttBroker
from components.diagnostics import report, stop_on_errors
from components.host_probe import probe_host_and_state
from components.identity import describe_writer
from components.stack_config import read_secrets, read_settings

stack, now = pulumi.get_stack(), datetime.now(UTC)
settings, secrets = read_settings(), read_secrets()
stop_on_errors(check_settings(settings, secrets, stack, now))

# Probe the host before anything changes there.
host = transport(settings.broker.host, settings.broker.ssh_config)
facts, state = probe_host_and_state(host, host_requirements(settings, stack))

plan = make_plan(
    settings,
    secrets,
    facts,
    stack,
    now,
    state=state,
    writer=describe_writer(),
    take_over=os.environ.get(TAKE_OVER, ""),
)
report(plan.findings)

broker = MqttBroker("mqtt-broker", plan)

# Read the credentials with `pulumi stack output credentials --show-secrets`.
pulumi.export("credentials", broker.logins)
pulumi.export("envFiles", broker.env_files)
if broker.fleet_seeds:
    pulumi.export("fleetSeeds", broker.fleet_seeds)
pulumi.export("access", broker.access)
pulumi.export("rotations", broker.rotations)
pulumi.export("endpoints", broker.endpoints)
pulumi.export("firewall", broker.firewall)
if broker.certificates is not None:
    pulumi.export("certificates", broker.certificates)
pulumi.export("image", broker.image)
pulumi.export("readme", broker.readme)
