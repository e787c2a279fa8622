"""
Recognize an `up` or a preview that would change nothing, without starting Pulumi.

What `pulumi up` does follows from its inputs: the stack file, the program, the versions of its
packages and of the engine, the environment, the state, and what the probe reports of the host. If
all of them are the same as after the last successful `up`, Pulumi would report "unchanged".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from bootstrap import folders
from broker.host.requirements import host_requirements, probe_calls
from broker.host.scripts import HostScript
from cli.deployment_state import checkpoint
from cli.errors import CommandError
from cli.pulumi import Pulumi
from cli.run_on_host import docker, probe, read_script
from cli.stack import ROOT, Stack

PROGRAM = ("Pulumi.yaml", "__main__.py", "broker/**/*.py", "components/**/*.py", "host/**/*.sh")
ENVIRONMENT = ("DOCKER_", "PULUMI_", "SENTIENT_MQTT_")
"""Prefixes of the variables that the program, Pulumi or its plugins read."""


@dataclass(frozen=True, kw_only=True)
class LastUp:
    """What is recorded of a successful `up`."""

    time: str
    image: str
    """The name of the image that runs."""
    inputs: str
    """A digest of the inputs on this machine, as they were after it."""
    host: str
    """A digest of what the host reported."""


def describe(stack: Stack, last: LastUp) -> str:
    """Return the sentence that is printed in place of Pulumi's output."""
    return (
        f"Unchanged: the stack file, the program, the state and what {stack.transport.host} "
        f"reports are the same as after the `up` of {last.time}. (--force runs Pulumi anyway.)"
    )


def same_up(stack: Stack, pulumi: Pulumi) -> LastUp | None:
    """Return the last successful `up` if all inputs are the same as after it."""
    try:
        record = json.loads(_record(stack, pulumi).read_text(encoding="utf-8"))
        last = LastUp(**record)
        # The host is asked last, and only if nothing else has changed.
        same = last.inputs == _digest(_inputs(stack, pulumi)) and last.host == _digest(_host(stack))
    except (OSError, ValueError, TypeError, CommandError):
        return None
    return last if same else None


def record_up(stack: Stack, pulumi: Pulumi, image: str) -> None:
    """Record the inputs as they are now, after a successful `up` with *image*."""
    file = _record(stack, pulumi)
    file.unlink(missing_ok=True)
    try:
        inputs, host = _digest(_inputs(stack, pulumi)), _digest(_host(stack))
    except (OSError, CommandError):
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    time = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    content = asdict(LastUp(time=time, image=image, inputs=inputs, host=host))
    file.write_text(json.dumps(content), encoding="utf-8")


def _record(stack: Stack, pulumi: Pulumi) -> Path:
    """Return the file with the record; one for each state of a stack."""
    name = sha256(f"{checkpoint(stack, pulumi.environ)}".encode()).hexdigest()[:16]
    return folders.state_path() / "last-up" / f"{stack.name}-{name}.json"


def _digest(parts: Iterable[bytes]) -> str:
    digest = sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def _inputs(stack: Stack, pulumi: Pulumi) -> Iterator[bytes]:
    """
    Yield the inputs on this machine.

    Raises:
        OSError: one of them can't be read; the state is not in a folder on this machine.

    """
    state = checkpoint(stack, pulumi.environ)
    if state is None:
        # In a bucket or a service: another machine may have changed it.
        raise FileNotFoundError
    yield state.read_bytes()
    yield stack.file.read_bytes()
    for pattern in PROGRAM:
        for file in sorted(ROOT.glob(pattern)):
            yield str(file).encode()
            yield file.read_bytes()
    packages = sorted(str(mark) for mark in ROOT.glob(".venv/.holds-*"))
    yield "\n".join((sys.version, *packages)).encode()
    yield str(pulumi.engine.bin).encode()
    for name, value in sorted(pulumi.environ.items()):
        if name.startswith(ENVIRONMENT):
            yield f"{name}={value}".encode()
    # Some warnings depend on the date, such as that of a certificate that expires soon.
    yield f"{datetime.now(UTC):%Y-%m-%d}".encode()


def _host(stack: Stack) -> Iterator[bytes]:
    """
    Yield what the host reports.

    Raises:
        CommandError: it can't be asked, or an image is missing.

    """
    required = host_requirements(stack.settings, stack.name)
    facts = probe(stack, (HostScript.PROBE,), probe_calls(required, stack.transport, read_script))
    reported = facts.without_other_brokers(required.container)
    lines = (f"{key} {subject}={value}" for (key, subject), value in sorted(reported.items()))
    yield "\n".join(lines).encode()
    images = [facts.present_image(required.image, required.fallback_image)]
    if required.exporter:
        images.append(facts.present_image(required.exporter, required.exporter_fallback_image))
    # A tag may have moved to another image.
    yield docker(stack, "image", "inspect", "--format", "{{.Id}}", *images).encode()
