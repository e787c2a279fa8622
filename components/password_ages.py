"""The age of each password: an output, and a warning if it is above the limit."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pulumi
from pulumi import ComponentResource, Output, ResourceOptions
from pulumi_command import local

from broker.credentials.password_ages import old_passwords, read_rotations
from broker.host import script_functions
from broker.host.script_calls import render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import clean_interpreter
from components.host_command import read_script, withheld


class PasswordAges(ComponentResource):
    """The time of each password's rotation, stored in the state. It contains no secret."""

    rotated_at: Output[dict[str, str]]
    """The time when the password was generated, by user (ISO 8601, UTC)."""

    def __init__(
        self,
        name: str,
        *,
        generations: Mapping[str, str],
        max_age_days: int | None,
        fixes: Mapping[str, str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Rotations", name, {}, opts)
        text = "".join(
            f"{party} {generation}\n" for party, generation in sorted(generations.items())
        )
        command = local.Command(
            f"{name}-times",
            create="exec sh -s",
            interpreter=list(clean_interpreter(("/bin/sh", "-c"), "PULUMI_COMMAND_STDOUT")),
            environment=withheld(),
            stdin=render_stdin(
                read_script(HostScript.PASSWORD_AGES),
                [script_functions.PasswordAges.generations(text)],
            ),
            logging=local.Logging.NONE,
            # The script reads the times of the previous run from its own output.
            add_previous_output_in_env=True,
            opts=ResourceOptions(parent=self),
        )
        self.rotated_at = command.stdout.apply(read_rotations)
        if max_age_days is not None:
            self.rotated_at.apply(lambda times: _warn(times, max_age_days, fixes))
        self.register_outputs({"rotated_at": self.rotated_at})


def _warn(times: Mapping[str, str], days: int, fixes: Mapping[str, str]) -> None:
    now = datetime.now(UTC)
    ages = {name: (now - datetime.fromisoformat(time)).days for name, time in times.items()}
    for finding in old_passwords(ages, days, fixes):
        pulumi.log.warn(finding.text)
