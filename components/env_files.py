"""Env files on the host, from which services read their user name and password."""

from collections.abc import Callable, Mapping
from functools import partial

from pulumi import ComponentResource, Input, Output, ResourceOptions

from broker.credentials.env_files import host_env_file
from broker.host import drift
from broker.host.script_calls import Record, ScriptCall
from broker.host.scripts import HostScript
from broker.host.transport import Transport
from broker.settings.broker_settings import Broker
from broker.settings.file_settings import EnvFile
from components.host_command import host_command


class EnvFiles(ComponentResource):
    """The configured env files, mode 0600, written once the broker accepts their users."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        stack: str,
        transport: Transport,
        image: Input[str],
        record: Callable[[str], Record],
        active: Mapping[str, str],
        passwords: Mapping[str, Output[str]],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:EnvFiles", name, {}, opts)
        # One resource per file: a removed or moved entry deletes its old file.
        for file in broker.env_files:
            host_command(
                f"{name}-{file.path}",
                transport=transport,
                become=broker.become,
                image=image,
                script=HostScript.ENV_FILE,
                calls=passwords[active[file.user]].apply(
                    partial(_calls, broker, stack, file, active[file.user])
                ),
                shown={file.path: file.user},
                record=record(drift.env_file(file.path)),
                opts=ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _calls(
    broker: Broker, stack: str, file: EnvFile, login: str, password: str
) -> list[ScriptCall]:
    return [host_env_file(broker, stack, file, login, password).call("env_file")]
