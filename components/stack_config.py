"""Read the stack file through Pulumi, including unknown keys."""

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
        pulumi.RunError: the settings are invalid; the message has one line per error.

    """
    try:
        return Settings.parse(read_stack_file())
    except SettingsError as wrong:
        raise pulumi.RunError(str(wrong)) from None


def read_stack_file() -> dict[str, Any]:
    """
    Return the values under ``sentient-mqtt:``, by key, without those of ``read_secrets``.

    Includes unknown keys, so that they can be reported: Pulumi ignores keys that are not read.
    """
    config = pulumi.Config(PROJECT)
    return {key: _value(config.require(key)) for key in _all_values() if key not in KEYS}


def read_secrets() -> dict[str, Any]:
    """
    Return the decrypted secrets of the stack file, by key in ``external_secrets.KEYS``.

    Raises:
        pulumi.RunError: values are not encrypted; the message has one line per value and does not
            quote it.

    """
    # Not Config.require, which logs a warning about a secret that is read in clear.
    values = {key: value for key, value in _all_values().items() if key in KEYS}
    plain = {key: value for key, value in values.items() if not _is_secret(key)}
    # Pulumi marks an object as secret as a whole if one value in it is: check the file's text, too.
    if findings := dict.fromkeys([*secrets_in_clear(_in_stack_file()), *secrets_in_clear(plain)]):
        raise pulumi.RunError(render_findings(findings))
    return {key: _value(value) for key, value in values.items()}


def _is_secret(key: str) -> bool:
    # From the engine, or from Pulumi's mocks.
    name = f"{PROJECT}:{key}"
    return name in get_config_secret_keys_env() or is_config_secret(name)


def _in_stack_file() -> dict[str, Any]:
    """Return the secrets as written in the stack file; {} if it is not in this folder."""
    file = PROJECT_FOLDER / f"Pulumi.{pulumi.get_stack()}.yaml"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=SAFE_LOADER)  # noqa: S506 (safe)
        config = content["config"]
        return {key: config.get(f"{PROJECT}:{key}") for key in KEYS}
    except (
        *(OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError),
        RecursionError,
    ):
        return {}  # Pulumi reads another file, or YAML that Python cannot parse


def _all_values() -> dict[str, str]:
    prefix = f"{PROJECT}:"
    # The engine passes the values in the environment, Pulumi's mocks in CONFIG.
    values = {**get_config_env(), **CONFIG.get()}
    return {
        key.removeprefix(prefix): values[key] for key in sorted(values) if key.startswith(prefix)
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # a plain string, as `pulumi config set KEY VALUE` stores it
