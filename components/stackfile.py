"""The stack file as Pulumi hands it over, with every key that somebody wrote in it."""

import json
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from broker.settings import PROJECT
from broker.supplied import KEYS


def read_stack_file() -> dict[str, Any]:
    """
    Return the values under ``sentient-mqtt:``, by key, without those of ``read_secrets``.

    All of them, not only the known ones: the CLI says nothing of a key that nobody reads.
    """
    config = pulumi.Config(PROJECT)
    return {key: _value(config.require(key)) for key in _all_values() if key not in KEYS}


def read_secrets() -> dict[str, Any]:
    """Return what the stack file has as secrets, in clear, by key of ``broker.supplied``."""
    # Not Config.require: it warns of a secret that is read in clear, which is what a check needs.
    values = _all_values()
    return {key: _value(values[key]) for key in KEYS if key in values}


def _all_values() -> dict[str, str]:
    prefix = f"{PROJECT}:"
    # The engine hands the values over in the environment, Pulumi's mocks in CONFIG.
    found = {**get_config_env(), **CONFIG.get()}
    return {key.removeprefix(prefix): found[key] for key in sorted(found) if key.startswith(prefix)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a plain string, as `pulumi config set KEY VALUE` stores it
