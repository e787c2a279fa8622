"""The JSON schema of a stack file, generated from the settings model, for use in editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from broker.credentials.external_secrets import KEYS
from broker.settings.stack_settings import PROJECT, Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# The form that `pulumi config set --secret` writes; a value in plain text stops the preview.
_ENCRYPTED: dict[str, Any] = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
# A validator turns these into text before the model sees them.
_TEXT_OR_NUMBER = ["string", "integer"]
_ROLE_USE: tuple[dict[str, Any], ...] = (
    {"type": "string"},
    {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": {"not": {"const": "role"}},
        "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
    },
)
"""The short forms ``monitor`` and ``{controller: {room: clockwork}}``."""


def stack_file_schema() -> dict[str, Any]:
    """
    Return the schema (JSON Schema 2020-12) of ``Pulumi.STACK.yaml``.

    It accepts every file that ``Settings.parse`` accepts. Only a preview checks rules between
    settings, such as "this user exists".
    """
    model = Settings.model_json_schema(by_alias=True)
    definitions = _plain(model["$defs"])
    definitions["RoleUse"] = {"anyOf": [*_ROLE_USE, definitions["RoleUse"]]}
    properties = {f"{PROJECT}:{key}": value for key, value in _plain(model["properties"]).items()}
    for key in KEYS:
        properties[f"{PROJECT}:{key}"] = {
            "description": f"Set with `pulumi config set --secret --path {key}.NAME`.",
            "anyOf": [_ENCRYPTED, {"type": "object", "additionalProperties": _ENCRYPTED}],
        }
    return {
        "$schema": DIALECT,
        "title": "Stack file of the Sentient MQTT broker",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "properties": properties,
                "required": [f"{PROJECT}:{key}" for key in model["required"]],
                "patternProperties": {f"^(?!{PROJECT}:)": True},
                "additionalProperties": False,
            },
            "encryptionsalt": {"type": "string"},
            "encryptedkey": {"type": "string"},
            "secretsprovider": {"type": "string"},
        },
        "$defs": definitions,
    }


def render_json_schema() -> str:
    """Return the schema as the text of ``schema/stack.schema.json``."""
    return json.dumps(stack_file_schema(), indent=2) + "\n"


def _plain(node: Any) -> Any:
    """Return *node* without generated titles, and with the types that a stack file may have."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    plain = {
        key: _plain(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }
    properties = plain.get("properties", {})
    if "generation" in properties:
        generation = properties["generation"]
        optional = [{"type": "null"}] if "anyOf" in generation else []
        generation.pop("type", None)
        generation["anyOf"] = [{"type": _TEXT_OR_NUMBER}, *optional]
    return plain
