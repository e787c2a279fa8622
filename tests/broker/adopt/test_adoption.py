"""Adoption of an existing broker: settings, remarks and errors for every line."""

from __future__ import annotations

import re

import pytest
import yaml
from existing_broker import (
    pbkdf2,
    read,
)

from broker.access.guardrails import guardrail_findings
from broker.adopt.adoption import render_stack_file
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.stack_settings import Settings

# The manual setup guide: "Access Control (ACL)", "Ports", "Volumes", "Performance Tuning",
# "Checklist".
GUIDE_ACL = """\
# Admin user (full access)
user admin
topic readwrite #

# Production API service
user sentient_api_prod
topic readwrite paragon/#

# Production executor service
user sentient_executor_prod
topic readwrite paragon/#

# Production monitor service
user sentient_monitor_prod
topic readwrite paragon/#

# Teensy controllers (read commands, write sensors/status)
user paragon_devices
topic read paragon/+/commands/#
topic write paragon/+/sensors/#
topic write paragon/+/status/#
topic write paragon/+/events/#
"""
GUIDE_CONF = """\
allow_anonymous false
password_file /mosquitto/config/mosquitto_passwd
acl_file /mosquitto/config/mosquitto.acl

persistence true
persistence_location /mosquitto/data/
log_dest file /mosquitto/log/mosquitto.log

listener 1883
protocol mqtt

listener 9001
protocol websockets

# Increase connection limits
max_connections 10000
max_queued_messages 10000

# Increase packet size for large payloads
max_packet_size 268435456

# Tune persistence
autosave_interval 300

# Increase inflight messages
max_inflight_messages 100
"""
GUIDE_USERS = re.findall(r"^user (.*)$", GUIDE_ACL, re.MULTILINE)


class TestManualSetupGuide:
    @pytest.fixture
    def adoption(self):
        passwd = "".join(f"{name}:{pbkdf2(name)}\n" for name in GUIDE_USERS)
        return read(conf=GUIDE_CONF, passwd=passwd, acl=GUIDE_ACL)

    def test_acl_is_rendered_unchanged(self, adoption):
        assert render_acl(Settings.parse(adoption.settings)).startswith(GUIDE_ACL)

    def test_directives_are_rendered_unchanged(self, adoption):
        rendered = render_conf(Settings.parse(adoption.settings).broker).splitlines()

        lines = {line for line in GUIDE_CONF.splitlines() if line and not line.startswith("#")}
        # One byte less: docs/explanation/decisions/0009-max-packet-size.md.
        assert lines - set(rendered) == {"max_packet_size 268435456"}

    def test_hashes_are_kept_and_users_adopted(self, adoption):
        assert adoption.hashes == {name: pbkdf2(name) for name in GUIDE_USERS}
        assert [*adoption.settings["users"]] == GUIDE_USERS
        for user in adoption.settings["users"].values():
            assert user["password"] == "adopted"

    def test_remarks_are_assumptions_comments_and_a_limit(self, adoption):
        assert [remark.partition(": ")[0] for remark in adoption.remarks] == [
            "mosquitto.conf:15",
            "broker.listeners",
            "broker.listeners",
            "mosquitto.conf",
            "broker.listeners",
            "broker.host",
            "broker.image",
        ]
        assert "listener 1883 has no max_connections" in "".join(adoption.remarks)

    def test_adopted_settings_pass_the_guardrails_in_production(self, adoption):
        assert guardrail_findings(Settings.parse(adoption.settings), "prod") == []

    def test_stack_file_parses_to_the_same_settings(self, adoption):
        text = render_stack_file(adoption.settings)

        config = yaml.safe_load(text)["config"]
        assert {
            key.removeprefix("sentient-mqtt:"): value for key, value in config.items()
        } == adoption.settings
        assert "  sentient-mqtt:users:\n    admin:\n" in text
        assert '      readwrite: ["#"]\n' in text
        assert '      write: ["paragon/+/sensors/#", "paragon/+/status/#", ' in text


@pytest.mark.parametrize("text", ["1e3", "0o17", "1:30", "no", "null", "a: b", "a #b", "~", "a:"])
def test_ambiguous_yaml_words_are_quoted(text):
    settings = {"users": {text: {"description": text, "read": [text]}}}

    rendered = render_stack_file(settings)
    assert yaml.safe_load(rendered)["config"]["sentient-mqtt:users"] == settings["users"]
    assert rendered.count('"') + rendered.count("'") == 6
