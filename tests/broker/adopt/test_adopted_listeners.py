"""Adoption of listeners."""

from __future__ import annotations

import pytest
from existing_broker import (
    CONF,
    PRIVATE_NETWORKS,
    errors,
    read,
    remarks,
    unguarded,
)


class TestListeners:
    def listeners(self, conf):
        lines = f"persistence true\npassword_file mosquitto_passwd\nacl_file mosquitto.acl\n{conf}"
        found = read(conf=lines).settings["broker"]
        return (
            unguarded(found["listeners"]),
            found.get("limits", {}).get("maxConnections"),
            remarks(conf=lines),
        )

    def test_names_and_addresses(self):
        found, _, _ = self.listeners(
            "listener 1883 192.168.2.3\nlistener 1884 localhost\n"
            "listener 9001\nprotocol websockets\nlistener 9002 # two\nprotocol websockets\n"
        )

        assert found == {
            "mqtt": {"port": 1883, "bindAddress": "192.168.2.3"},
            "mqtt-1884": {"port": 1884, "bindAddress": "127.0.0.1"},
            "websocket": {"port": 9001, "protocol": "websockets"},
            "websocket-9002": {"port": 9002, "protocol": "websockets"},
        }

    def test_private_networks_are_assumed_with_a_remark(self):
        lines = (
            "listener 1883\nlistener 1884 localhost\nlistener 1885 192.168.2.3\n"
            "password_file mosquitto_passwd\nacl_file mosquitto.acl\n"
        )

        adoption = read(conf=lines)

        allowed = {
            listener["port"]: listener.get("allowFrom")
            for listener in adoption.settings["broker"]["listeners"].values()
        }
        assert allowed == {1883: PRIVATE_NETWORKS, 1884: None, 1885: PRIVATE_NETWORKS}
        messages = [remark for remark in adoption.remarks if "do not restrict clients" in remark]
        assert [remark.split(": ")[1] for remark in messages] == ["port 1883", "port 1885"]

    def test_ipv6_listener_allows_private_ipv6_networks(self):
        files = "password_file mosquitto_passwd\nacl_file mosquitto.acl\n"
        settings = read(conf=f"listener 1883 fd00::3\n{files}").settings
        (listener,) = settings["broker"]["listeners"].values()

        assert listener["allowFrom"] == [*PRIVATE_NETWORKS, "fc00::/7"]

    def test_default_listener_of_old_files(self):
        found, most, _ = self.listeners("port 1900\nbind_address 127.0.0.1\nmax_connections 20\n")

        assert found == {"mqtt": {"port": 1900, "bindAddress": "127.0.0.1"}}
        assert most == 20

    def test_limits_of_listeners(self):
        found, most, messages = self.listeners(
            "listener 1883\nmax_connections 50\nlistener 1884\nmax_connections 20\nlistener 1885\n"
            "max_connections -1\n"
        )

        assert most == 50
        assert found["mqtt"] == {"port": 1883}
        assert found["mqtt-1884"] == {"port": 1884, "maxConnections": 20}
        assert any("listener 1885 has no max_connections" in remark for remark in messages)

    def test_limit_above_the_listeners_opens_port_1883(self):
        """Measured: 2.0.21 listens on 1883 as well, and stops where another listener has it."""
        found, most, messages = self.listeners("max_connections 50\nlistener 1884\n")

        assert [listener["port"] for listener in found.values()] == [1883, 1884]
        assert most == 50
        assert any("Mosquitto listens on port 1883, too" in remark for remark in messages)

    def test_limit_above_the_listeners_applies_to_port_1883(self):
        found, most, messages = self.listeners("max_connections 50\nlistener 1883\n")

        assert found == {"mqtt": {"port": 1883}}
        assert most == 50
        assert any("applied to the one of port 1883" in remark for remark in messages)

    @pytest.mark.parametrize(
        "line", ["protocol mqtt", "max_connections -1", "max_connections -5", "max_qos 2"]
    )
    def test_redundant_line_above_the_listeners_opens_no_port(self, line):
        found, _, _ = self.listeners(f"{line}\nlistener 1884\n")

        assert found == {"mqtt": {"port": 1884}}

    def test_conf_without_listener_listens_on_loopback(self):
        found, _, messages = self.listeners("")

        assert found == {"mqtt": {"port": 1883, "bindAddress": "127.0.0.1"}}
        assert any("has no listener" in remark for remark in messages)

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            ("listener 8883\nmax_connections 0\nprotocol mqtt\ncertfile /c\n", "is encrypted"),
            ("listener 8883\ncertfile /c\nkeyfile /k\n", "is encrypted"),
            ("listener 8883\npsk_hint x\n", "is encrypted"),
            ("listener 0 /run/mqtt.sock\n", "is a Unix domain socket"),
            ("listener 8080\nprotocol http_api\n", "has the protocol 'http_api'"),
            ("listener 1884\nenable_proxy_protocol 2\n", "expects the PROXY protocol"),
        ],
    )
    def test_unsupported_listener_is_not_adopted(self, lines, why):
        found, _, messages = self.listeners(f"listener 1883\n{lines}")

        assert found == {"mqtt": {"port": 1883}}
        assert any(
            why in remark and "not adopted, the port will be closed" in remark
            for remark in messages
        )

    def test_plain_mqtt_listener_is_required(self):
        (message,) = errors(conf=CONF.replace("listener 1883", "listener 8883\ncertfile /c"))

        assert "no listener has plain MQTT" in message
