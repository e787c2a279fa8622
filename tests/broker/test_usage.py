"""The readme output: commands to paste, and no secret."""

import shlex

from declared import settings_of, smallest

from broker.settings.stack_settings import Settings
from broker.usage import render_usage


def commands(text):
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def test_prod_readme_contains_endpoints_container_and_image():
    text = render_usage(settings_of("prod"), "prod", "eclipse-mosquitto:2.0.22")

    assert "- mqtt: mqtt://192.168.2.3:1883\n" in text
    assert "- websocket: ws://192.168.2.3:9001\n" in text
    assert "Container `mosquitto-shared`" in text
    assert "image eclipse-mosquitto:2.0.22" in text


def test_every_command_is_valid_shell():
    settings = Settings.parse(smallest() | {"users": {"a": {"read": ["it's/$HOME/#"]}}})

    credential, listen, rotate = map(
        shlex.split, commands(render_usage(settings, "dev", "image:1"))
    )

    assert credential[:4] == ["pulumi", "stack", "output", "credentials"]
    assert listen[listen.index("-t") + 1] == "it's/$HOME/#"
    assert listen[listen.index("-P") + 1] == "PASSWORD"
    assert rotate == ["pulumi", "up", "--stack", "dev"]


def test_readme_names_the_fallback_image_if_it_runs():
    text = render_usage(settings_of("dev"), "dev", "localhost/mosquitto-from-debian:2.0.21-trixie")

    assert "localhost/mosquitto-from-debian:2.0.21-trixie" in text
