"""The stack file as Pulumi hands it over, with every key that somebody wrote in it."""

import json
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from broker.settings import PROJECT


def read_stack_file() -> dict[str, Any]:
    """
    Return the values under ``sentient-mqtt:``, by key.

    All of them, not only the known ones: the CLI says nothing of a key that nobody reads.
    """
    config = pulumi.Config(PROJECT)
    prefix = f"{PROJECT}:"
    # The engine hands the values over in the environment, Pulumi's mocks in CONFIG.
    keys = sorted(key for key in {**get_config_env(), **CONFIG.get()} if key.startswith(prefix))
    return {
        key.removeprefix(prefix): _value(config.require(key.removeprefix(prefix))) for key in keys
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a plain string, as `pulumi config set KEY VALUE` stores it
