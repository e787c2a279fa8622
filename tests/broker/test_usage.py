"""The readme output holds commands that work when they are pasted, and no secret."""

import shlex

from declared import settings_of, smallest

from broker.settings.stack_settings import Settings
from broker.usage import render_usage


def commands(text):
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def test_prods_manual_says_where_the_broker_is():
    text = render_usage(settings_of("prod"), "prod", "eclipse-mosquitto:2.0.22")

    assert "- mqtt: mqtt://192.168.2.3:1883\n" in text
    assert "- websocket: ws://192.168.2.3:9001\n" in text
    assert "Container `mosquitto-shared`" in text
    assert "image eclipse-mosquitto:2.0.22" in text


def test_every_command_is_one_that_a_shell_reads():
    settings = Settings.parse(smallest() | {"users": {"a": {"read": ["it's/$HOME/#"]}}})

    credential, listen, rotate = map(
        shlex.split, commands(render_usage(settings, "dev", "image:1"))
    )

    assert credential[:4] == ["pulumi", "stack", "output", "credentials"]
    assert listen[listen.index("-t") + 1] == "it's/$HOME/#"
    assert listen[listen.index("-P") + 1] == "PASSWORD"
    assert rotate == ["pulumi", "up", "--stack", "dev"]


def test_the_image_that_runs_is_named_also_where_it_stands_in():
    text = render_usage(settings_of("dev"), "dev", "localhost/mosquitto-from-debian:2.0.21-trixie")

    assert "localhost/mosquitto-from-debian:2.0.21-trixie" in text
