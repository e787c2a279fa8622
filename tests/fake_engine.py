"""An engine for the tests: it creates nothing and remembers what it was asked for, and how."""

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
    """Answers as the providers would, with what they draw at random made predictable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.created: dict[tuple[str, str], MockResourceArgs] = {}
        self.options: dict[str, pulumi.ResourceOptions] = {}
        """By resource; Pulumi's mocks don't show them."""
        self.last_deployment: dict[str, Any] = {}
        """Type and outputs of each resource in the state, by URN."""
        self.printed = ""
        """What every command says on stdout."""
        register = pulumi.CustomResource.__init__

        def remember(resource: Any, typ: str, name: str, *words: Any, **more: Any) -> None:
            given = [each for each in (*words, *more.values()) if _is_options(each)]
            self.options[name] = given[0] if given else pulumi.ResourceOptions()
            register(resource, typ, name, *words, **more)

        monkeypatch.setattr(pulumi.CustomResource, "__init__", remember)

    def start(self, *, stack: str = "test", preview: bool = False) -> None:
        """Begin anew: Pulumi keeps exports and config in the process, so they are cleared."""
        self.created.clear()
        self.options.clear()
        set_root_resource(None)
        set_all_config({})
        set_mocks(self, project=PROJECT, stack=stack, preview=preview)

    def run(self, program: Callable[[], Any]) -> Any:
        """Run *program* until its last resource is registered, and resolve what it returned."""
        results: list[Any] = []
        pulumi.runtime.test(lambda: pulumi.Output.from_input(program()).apply(results.append))()
        return results[0] if results else None  # nothing is resolved when a preview cannot know

    def of_type(self, typ: str) -> dict[str, MockResourceArgs]:
        return {name: each for (kind, name), each in self.created.items() if kind == typ}

    def inputs_of(self, name: str) -> dict[str, Any]:
        """Return what resource *name* was given; secrets are still wrapped."""
        (found,) = [each for each in self.created.values() if each.custom and each.name == name]
        return dict(found.inputs)

    def shown_of(self, name: str) -> dict[str, str]:
        """Return what a preview shows of a command's content: its environment but for secrets."""
        found = dict(self.inputs_of(name)["environment"])
        assert all(found.pop(variable) == "" for variable in WITHHELD)
        return found

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        key = (args.typ, args.name)
        assert key not in self.created, f"two resources of type {args.typ} are named {args.name!r}"
        self.created[key] = args
        printed = {"stdout": self.printed} if args.typ == COMMAND else {}
        return f"{args.name}-id", {**args.inputs, **printed, **_drawn(args)}

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        if args.token == "pulumi:pulumi:readStackResourceOutputs":
            return {"outputs": self.last_deployment}
        raise AssertionError(f"{args.token} was called, but nothing here reads from a provider")


def password_of(resource: str) -> str:
    """What the provider draws for a RandomPassword."""
    return f"Password-of-{resource}"


def is_secret(value: object) -> bool:
    return bool(rpc.is_rpc_secret(value))


def unwrap(value: object) -> Any:
    return rpc.unwrap_rpc_secret(value)


def everything_plain(args: MockResourceArgs) -> str:
    """All that may be shown of a resource: what is not wrapped as a secret."""
    return repr(_without_secrets(args.inputs))


def _without_secrets(value: Any) -> Any:
    if is_secret(value):
        return "[secret]"
    if isinstance(value, dict):
        return {key: _without_secrets(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value


def _is_options(value: object) -> bool:
    return isinstance(value, pulumi.ResourceOptions)


def _drawn(args: MockResourceArgs) -> dict[str, Any]:
    """Return what the provider draws. The real engine marks it secret; for mocks we must."""
    if pulumi.runtime.is_dry_run():
        return {}
    match args.typ:
        case "random:index/randomPassword:RandomPassword":
            return {"result": pulumi.Output.secret(password_of(args.name))}
        case "docker:index/remoteImage:RemoteImage":
            return {"imageId": f"sha256:of {args.inputs['name']}"}
        case _:
            return {}
