"""Stack files for tests: the two of this repository, and the smallest valid one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from broker.settings.stack_settings import PROJECT, Settings

ROOT = Path(__file__).resolve().parents[1]

SMALLEST: dict[str, Any] = {
    "broker": {
        "address": "broker.example.org",
        "container": "mosquitto-test",
        "folders": {
            "config": "/srv/mqtt/config",
            "data": "/srv/mqtt/data",
            "log": "/srv/mqtt/log",
        },
        "listeners": {"mqtt": {"port": 1883, "allowFrom": ["192.168.0.0/16"]}},
    },
    "users": {"sensor": {"write": ["paragon/+/sensors/#"]}},
}


def smallest(**broker: Any) -> dict[str, Any]:
    """Return the values of the smallest valid stack file, with *broker* merged into its broker."""
    raw = copy.deepcopy(SMALLEST)
    raw["broker"] |= broker
    return raw


def stack_file(stack: str) -> dict[str, Any]:
    """Return the values of ``Pulumi.<stack>.yaml``, by key without ``sentient-mqtt:``."""
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    return {
        key.removeprefix(f"{PROJECT}:"): value
        for key, value in yaml.safe_load(text)["config"].items()
        if key.startswith(f"{PROJECT}:")
    }


def settings_of(stack: str) -> Settings:
    return Settings.parse(stack_file(stack))
