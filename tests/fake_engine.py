"""A fake Pulumi engine that creates nothing and records the resources and their options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc, set_all_config, set_mocks
from pulumi.runtime.settings import set_root_resource

from broker.host.transport import WITHHELD
from broker.settings.stack_settings import PROJECT

COMMAND = "command:local:Command"
CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
PASSWORD = "random:index/randomPassword:RandomPassword"
PROVIDER = "pulumi:providers:docker"


class FakeEngine(Mocks):
    """Returns outputs like those of the providers, with predictable random values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.created: dict[tuple[str, str], MockResourceArgs] = {}
        self.options: dict[str, pulumi.ResourceOptions] = {}
        """The options, by resource; Pulumi's mocks do not provide them."""
        self.last_deployment: dict[str, Any] = {}
        """The type and the outputs of the resources in the state, by URN."""
        self.printed = ""
        """The stdout of every command."""
        register = pulumi.CustomResource.__init__

        def record(resource: Any, typ: str, name: str, *words: Any, **more: Any) -> None:
            options = [argument for argument in (*words, *more.values()) if _is_options(argument)]
            self.options[name] = options[0] if options else pulumi.ResourceOptions()
            register(resource, typ, name, *words, **more)

        monkeypatch.setattr(pulumi.CustomResource, "__init__", record)

    def start(self, *, stack: str = "test", preview: bool = False) -> None:
        """Start again; this clears exports and config, which Pulumi keeps in the process."""
        self.created.clear()
        self.options.clear()
        set_root_resource(None)
        set_all_config({})
        set_mocks(self, project=PROJECT, stack=stack, preview=preview)

    def run(self, program: Callable[[], Any]) -> Any:
        """Run *program* until its last resource is registered; return its resolved result."""
        results: list[Any] = []
        pulumi.runtime.test(lambda: pulumi.Output.from_input(program()).apply(results.append))()
        return results[0] if results else None  # in a preview, a result may be unknown

    def of_type(self, typ: str) -> dict[str, MockResourceArgs]:
        return {name: args for (kind, name), args in self.created.items() if kind == typ}

    def inputs_of(self, name: str) -> dict[str, Any]:
        """Return the inputs of resource *name*; secrets are still wrapped."""
        (found,) = [args for args in self.created.values() if args.custom and args.name == name]
        return dict(found.inputs)

    def shown_of(self, name: str) -> dict[str, str]:
        """Return the environment of a command, which a preview shows, without the empty secrets."""
        environment = dict(self.inputs_of(name)["environment"])
        assert all(environment.pop(variable) == "" for variable in WITHHELD)
        return environment

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        key = (args.typ, args.name)
        assert key not in self.created, f"two resources of type {args.typ} are named {args.name!r}"
        self.created[key] = args
        printed = {"stdout": self.printed} if args.typ == COMMAND else {}
        return f"{args.name}-id", {**args.inputs, **printed, **_random_outputs(args)}

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        if args.token == "pulumi:pulumi:readStackResourceOutputs":
            return {"outputs": self.last_deployment}
        raise AssertionError(f"{args.token}: no such function in this fake engine")


def password_of(resource: str) -> str:
    """Return the result of a RandomPassword."""
    return f"Password-of-{resource}"


def is_secret(value: object) -> bool:
    return bool(rpc.is_rpc_secret(value))


def unwrap(value: object) -> Any:
    return rpc.unwrap_rpc_secret(value)


def everything_plain(args: MockResourceArgs) -> str:
    """Return the inputs of a resource as text, without those that are secret."""
    return repr(_without_secrets(args.inputs))


def _without_secrets(value: Any) -> Any:
    if is_secret(value):
        return "[secret]"
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _is_options(value: object) -> bool:
    return isinstance(value, pulumi.ResourceOptions)


def _random_outputs(args: MockResourceArgs) -> dict[str, Any]:
    """Return the outputs of the provider; passwords are marked as secret, as the engine does."""
    if pulumi.runtime.is_dry_run():
        return {}
    match args.typ:
        case "random:index/randomPassword:RandomPassword":
            return {"result": pulumi.Output.secret(password_of(args.name))}
        case "docker:index/remoteImage:RemoteImage":
            return {"imageId": f"sha256:of {args.inputs['name']}"}
        case _:
            return {}
