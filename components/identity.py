"""The id of this Pulumi state, and the host's record of the state that manages the broker."""

import os
import platform
import pwd
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import pulumi_random as random
from pulumi import ComponentResource, Input, Resource, ResourceOptions

from broker.host import drift
from broker.host.layout import ROOT, HostFile
from broker.host.ownership import (
    DEPLOYED_RESOURCE,
    IDENTITY,
    OWNER_RESOURCE,
    Deployment,
    deployed_file,
    owner_file,
    render_owner,
)
from broker.host.script_calls import Record
from broker.host.script_functions import ClaimHost, CompleteDeployment
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.broker_settings import Broker
from components.host_command import host_command

# Logins without root read the records, too (host/commands/probe.sh). They contain no secret.
MODE = "0644"


class Identity(ComponentResource):
    """
    A random id in the state, recorded on the host before anything else changes there.

    ``complete`` records that the deployment is complete. Until then, the state of before it is
    accepted as well: a run may end before Pulumi has written the state.
    """

    claimed: Resource
    """A resource that changes the host must depend on this one."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        stack: str,
        transport: Transport,
        image: Input[str],
        deployment: Deployment,
        record: Callable[[str], Record],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Identity", name, {}, opts)
        self._broker, self._transport, self._image = broker, transport, image
        self._deployment, self._record = deployment, record
        # In the state before the host's record is written, so that a killed run can go on.
        self._id = random.RandomUuid(IDENTITY, opts=ResourceOptions(parent=self)).result
        self.claimed = host_command(
            # The file depends on the container's name: with a new name, the old resource and its
            # file are deleted.
            f"{OWNER_RESOURCE}{broker.container}",
            transport=transport,
            become=broker.become,
            image=image,
            script=HostScript.CLAIM_HOST,
            calls=self._id.apply(
                lambda state: [
                    ClaimHost.claim(
                        state=state, deployment=deployment.time, expected=deployment.expected
                    ),
                    HostFile(
                        path=owner_file(broker),
                        owner=ROOT,
                        text=render_owner(broker, stack, state, deployment),
                        mode=MODE,
                    ).call(),
                ]
            ),
            shown=deployment.as_shown(),
            record=record(drift.OWNER),
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def complete(self, after: Sequence[Resource]) -> None:
        """Record that the deployment is complete, once *after*, all resources on the host, are."""
        broker, time = self._broker, self._deployment.time
        host_command(
            f"{DEPLOYED_RESOURCE}{broker.container}",
            transport=self._transport,
            become=broker.become,
            image=self._image,
            script=HostScript.COMPLETE_DEPLOYMENT,
            calls=self._id.apply(
                lambda state: [
                    CompleteDeployment.complete(owner_file(broker), state=state, deployment=time),
                    HostFile(
                        path=deployed_file(broker), owner=ROOT, text=f"{time}\n", mode=MODE
                    ).call(),
                ]
            ),
            shown={"deployment": time},
            record=self._record(drift.DEPLOYED),
            opts=ResourceOptions(parent=self, depends_on=list(after)),
        )


def describe_writer(environ: Mapping[str, str] = os.environ) -> str:
    """Return who runs this, where, and with which backend, so that a person finds the state."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    backend = _describe_backend(environ.get("PULUMI_BACKEND_URL", ""))
    text = f"{user} on {platform.node()} (HOME={environ.get('HOME', '')}, state: {backend})"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _describe_backend(url: str) -> str:
    """Return the backend without a login or options that *url* may contain."""
    if not url:
        return "as in `pulumi whoami --verbose`"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
