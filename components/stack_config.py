"""The stack file as Pulumi hands it over, with every key that somebody wrote in it."""

import json
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime.config import (
    CONFIG,
    get_config_env,
    get_config_secret_keys_env,
    is_config_secret,
)

from broker.credentials.external_secrets import KEYS, secrets_in_clear
from broker.findings import render_findings
from broker.settings.stack_settings import PROJECT, Settings, SettingsError

# libyaml's where the package has it: a file of 100 users takes a tenth of the time.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PROJECT_FOLDER = Path(__file__).parent.parent


def read_settings() -> Settings:
    """
    Return the settings of the stack file.

    Raises:
        pulumi.RunError: no broker can be built from it; a line for each thing to fix.

    """
    try:
        return Settings.parse(read_stack_file())
    except SettingsError as wrong:
        raise pulumi.RunError(str(wrong)) from None


def read_stack_file() -> dict[str, Any]:
    """
    Return the values under ``sentient-mqtt:``, by key, without those of ``read_secrets``.

    All of them, not only the known ones: the CLI says nothing of a key that nobody reads.
    """
    config = pulumi.Config(PROJECT)
    return {key: _value(config.require(key)) for key in _all_values() if key not in KEYS}


def read_secrets() -> dict[str, Any]:
    """
    Return what the stack file has as secrets, in clear, by key of ``broker.supplied``.

    Raises:
        pulumi.RunError: one of them is no secret; one line for each, which doesn't quote it.

    """
    # Not Config.require: it warns of a secret that is read in clear, which is what a check needs.
    values = {key: value for key, value in _all_values().items() if key in KEYS}
    plain = {key: value for key, value in values.items() if not _is_secret(key)}
    # An object with one secret in it is a secret as a whole here; the file's text tells them apart.
    if found := dict.fromkeys([*secrets_in_clear(_written()), *secrets_in_clear(plain)]):
        raise pulumi.RunError(render_findings(found))
    return {key: _value(value) for key, value in values.items()}


def _is_secret(key: str) -> bool:
    # As with the values: from the engine, or from Pulumi's mocks.
    name = f"{PROJECT}:{key}"
    return name in get_config_secret_keys_env() or is_config_secret(name)


def _written() -> dict[str, Any]:
    """Return the secrets as the stack file's text has them; none where it is not in this folder."""
    file = PROJECT_FOLDER / f"Pulumi.{pulumi.get_stack()}.yaml"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=SAFE_LOADER)  # noqa: S506 (safe)
        config = content["config"]
        return {key: config.get(f"{PROJECT}:{key}") for key in KEYS}
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return {}  # Pulumi read another one, or reads YAML that Python does not


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
