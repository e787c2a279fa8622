"""Adoption of mosquitto.conf and of the files that it includes."""

from __future__ import annotations

import pytest
from existing_broker import (
    CONF,
    HASH,
    PRIVATE_NETWORKS,
    broker,
    errors,
    read,
    remarks,
    unguarded,
)

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import AdoptionError, adopt
from broker.adopt.mosquitto_conf_parser import BRIDGE, DIRECTIVES


class TestConf:
    def test_reserved_listener_is_not_adopted(self):
        reserved = "listener 11883 127.0.0.1\nprotocol mqtt\nmax_connections 10"
        other = "listener 11883 127.0.0.1\nprotocol mqtt\nmax_connections 11"

        assert broker(reserved)["listeners"].keys() == {"mqtt"}
        assert "reserved listener" in remarks(conf=f"{CONF}{reserved}\n")[0]
        assert broker(other)["listeners"].keys() == {"mqtt", "mqtt-11883"}

    def test_defaults_are_omitted(self):
        assert broker("autosave_interval 300") == {
            "address": "192.168.2.3",
            "container": "mosquitto-shared",
            "folders": {
                "config": "/opt/sentient/config/mosquitto-prod",
                "data": "/opt/sentient/volumes/mosquitto-data-shared",
                "log": "/opt/sentient/volumes/mosquitto-logs-shared",
            },
            "listeners": {"mqtt": {"port": 1883, "allowFrom": PRIVATE_NETWORKS}},
        }
        assert remarks(conf=f"{CONF}autosave_interval 300\n") == []

    @pytest.mark.parametrize(
        ("line", "section", "settings"),
        [
            ("max_queued_messages 5", "limits", {"maxQueuedMessages": 5}),
            ("max_inflight_messages 7\r", "limits", {"maxInflightMessages": 7}),
            ("  max_packet_size   100", "limits", {"maxPacketSize": 100}),
            ("autosave_interval 60", "persistence", {"autosaveInterval": 60}),
            ("autosave_on_changes 1", "persistence", {"autosaveOnChanges": True}),
            ("log_type debug", "logging", {"types": ["debug"]}),
            ("log_dest file /mosquitto/log/all.log", "logging", {"file": "all.log"}),
        ],
    )
    def test_directive_becomes_a_setting(self, line, section, settings):
        found = broker("autosave_interval 300", line)

        assert found[section] == settings
        assert remarks(conf=f"{CONF}{line}\n") == []

    def test_different_defaults_of_mosquitto_become_settings(self):
        conf = CONF.replace("max_packet_size 2000000\n", "")

        assert broker(conf=conf)["limits"] == {"maxPacketSize": 268435456}
        assert broker(conf=conf)["persistence"] == {"autosaveInterval": 1800}

    @pytest.mark.parametrize(
        ("line", "section", "settings"),
        [
            ("max_queued_messages 0", "limits", {"maxQueuedMessages": 10_000_000}),
            ("max_inflight_messages -1", "limits", {"maxInflightMessages": 65_535}),
            ("autosave_interval 100000", "persistence", {"autosaveInterval": 86_400}),
        ],
    )
    def test_number_above_the_maximum_is_limited_with_a_remark(self, line, section, settings):
        assert broker("autosave_interval 300", line)[section] == settings
        (remark,) = remarks(conf=f"{CONF}{line}\n")
        assert remark.startswith(f"mosquitto.conf:7: {line!r}: ")

    @pytest.mark.parametrize(
        ("line", "types"),
        [
            ("log_type all", None),
            ("log_type none", ["error"]),
            ("log_type warning\nlog_type error", ["error", "warning"]),
            ("log_type error\nlog_type internal", ["error"]),
        ],
    )
    def test_log_types(self, line, types):
        found = broker(line)["logging"]["types"]

        assert found == types if types else len(found) == 8

    def test_default_log_types_are_omitted(self):
        assert "logging" not in broker(
            *(f"log_type {log_type}" for log_type in ("information", "notice", "warning", "error"))
        )

    def test_names_and_folders_of_a_broker_without_a_container(self):
        place = Place(address="h", config="/etc/mosquitto")
        conf = (
            CONF.replace("mosquitto_passwd", "passwd").replace("mosquitto.acl", "acl")
            + "persistence_location /var/lib/mosquitto/\nlog_dest file /var/log/mosquitto/m.log\n"
        )
        adoption = adopt(
            "site.conf",
            {"site.conf": conf, "passwd": f"bob:{HASH}\n", "acl": "user bob\ntopic a\n"},
            place,
        )

        found = adoption.settings["broker"]
        assert found["files"] == {"conf": "site.conf", "passwords": "passwd", "acl": "acl"}
        assert found["folders"] == {
            "config": "/srv/mosquitto-shared/config",
            "data": "/var/lib/mosquitto",
            "log": "/var/log/mosquitto",
        }
        assert found["container"] == "mosquitto-shared"
        assumed = {remark.partition(": ")[0] for remark in adoption.remarks}
        assert assumed >= {"broker.folders.data", "broker.folders.log", "broker.container"}

    @pytest.mark.parametrize(
        ("config", "data"),
        [("/srv/mqtt/config", "/srv/mqtt/data"), ("/srv/mqtt/prod", "/srv/mqtt/prod-data")],
    )
    def test_unknown_folders_are_assumed_beside_the_config_folder(self, config, data):
        place = Place(address="h", config=config)
        adoption = read(conf=f"{CONF}persistence_location /mosquitto/data/\n", place=place)

        assert adoption.settings["broker"]["folders"]["data"] == data
        assert any(
            remark.startswith(f"broker.folders.data: {data!r}: assumed; give --data")
            for remark in adoption.remarks
        )

    def test_health_user_is_renamed_if_the_name_is_taken(self):
        adoption = read(passwd=f"healthcheck:{HASH}\n", acl="user healthcheck\ntopic read a\n")

        assert adoption.settings["broker"]["health"] == {"user": "healthcheck-2"}

    def test_redundant_lines_have_no_remark(self):
        lines = ("allow_anonymous false", "per_listener_settings 0", "log_dest stdout")

        assert remarks(conf=CONF + "".join(f"{line}\n" for line in lines)) == []

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("allow_anonymous true", "clients without a login will be refused"),
            ("log_dest syslog", "not supported"),
            ("message_size_limit 100", "larger messages"),
            ("retain_available false", "users may publish retained messages"),
        ],
    )
    def test_unsupported_directive_is_a_remark(self, line, expected):
        (message,) = remarks(conf=f"{CONF}{line}\n")

        assert message.startswith(f"mosquitto.conf:7: {line!r}: ")
        assert expected in message

    @pytest.mark.parametrize(
        "directive",
        sorted({*DIRECTIVES} - {*BRIDGE} - {"connection"}),
    )
    def test_every_directive_is_adopted_or_reported(self, directive):
        """Every line is quoted in a remark, or it changes the settings."""
        conf = f"{CONF}listener 1884\n"
        line = f"{directive} 77"
        try:
            adoption = read(conf=f"{conf}{line}\n")
        except AdoptionError as error:
            messages, settings = str(error).split("\n"), {}
        else:
            messages, settings = adoption.remarks, adoption.settings

        quoted = any(line.startswith("mosquitto.conf:8: ") for line in messages)
        assert quoted or settings != read(conf=conf).settings or directive == "persistence_location"

    def test_bridge_is_one_remark_with_its_lines_and_no_password(self):
        conf = (
            f"{CONF}connection far\naddress far.example.org\ntopic # both\n"
            "remote_password hunter2\nmax_queued_messages 5\nremote_username me\n"
            "connection near\naddress near\n"
        )

        far, near = remarks(conf=conf)
        assert far.startswith(
            "mosquitto.conf:7: 'connection far': a bridge, with lines 8, 9, 10, 12, is not"
        )
        assert near.startswith("mosquitto.conf:13: 'connection near': a bridge, with line 14,")
        assert read(conf=conf).settings["broker"]["limits"] == {"maxQueuedMessages": 5}
        assert "hunter2" not in far + near

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("plugin_opt_pg_password hunter2", "must follow a plugin's line"),
            ("auth_opt_x hunter2", "must follow a plugin's line"),
            ("plugin_opt_y", "has no value"),
        ],
    )
    def test_plugin_option_value_is_not_quoted(self, line, why):
        (message,) = errors(conf=f"{CONF}{line}\n")

        assert message.startswith(f"mosquitto.conf:7: {line.split()[0]!r}: {why}")

    @pytest.mark.parametrize(
        ("line", "quoted", "why"),
        [
            ("max_conections 10", "max_conections", "did you mean 'max_connections'?"),
            ("remote_password=hunter2", "remote_password", "did you mean 'remote_password'?"),
            ("max_connections 2000000", None, "from -1 to 1,000,000"),
            ("frobnicate hunter2", "frobnicate", "Mosquitto has no such directive; remove it"),
            ("listener\t1884", "listener", "contains a tab where Mosquitto requires a space"),
            (" # comment", "#", "a comment must begin in column 1"),
            ("remote_password hunter2", "remote_password", "must follow a 'connection' line"),
            ("max_queued_messages 5m", None, "must be an integer"),
            ("max_connections many", None, "must be an integer"),
            ("max_packet_size 0", None, "must be at least 20"),
            ("autosave_on_changes yes", None, "must be true or false"),
            ("log_dest file", None, "names no file"),
            ("max_queued_messages", None, "has no value"),
            ("max_queued_messages 010", None, "must be an integer"),
            ("allow_anonymous = false", None, "must be true or false: Mosquitto doesn't start"),
            ("retain_available yes", None, "must be true or false: Mosquitto doesn't start"),
            ("protocol ws", None, "is no protocol"),
            ("socket_domain any", None, "must be ipv4 or ipv6"),
            ("listener 0", None, "needs the path of a socket"),
            ("plugin_use x", None, "names no plugin_load above it"),
            ("listener 70000", None, "must be an integer from 0 to 65,535"),
            ("listener 1884 broker.example.org", None, "is a name; write its IP address"),
            ("listener 1883 127.0.0.1", None, "a second listener on this port"),
            ("password_file /other", None, "merge the files into one"),
        ],
    )
    def test_invalid_line_is_an_error(self, line, quoted, why):
        messages = errors(conf=f"{CONF}{line}\n")[0]

        assert messages.startswith(f"mosquitto.conf:7: {quoted or line!r}: ".replace("': '", "': "))
        assert why in messages
        assert "hunter2" not in messages

    def test_swapped_files_do_not_reveal_hashes(self):
        passwd = f"bob:{HASH}\nann:{HASH}\n"
        swapped = errors(passwd="user bob\n", acl=f"{passwd}\teve:{HASH}\n")
        as_conf = errors(conf=passwd)

        assert swapped[1].startswith("mosquitto.acl:1: 'bob': Mosquitto rejects this line")
        assert as_conf[0].startswith("mosquitto.conf:1: 'bob': Mosquitto has no such directive")
        assert "$" not in "".join((*swapped, *as_conf))

    @pytest.mark.parametrize(
        ("conf", "why"),
        [
            ("listener 1883\n", "has no password_file"),
            (
                "listener 1883\npassword_file /x/gone\n",
                "'gone' is not in the folder of mosquitto.conf",
            ),
        ],
    )
    def test_missing_logins_are_an_error(self, conf, why):
        assert why in errors(conf=conf)[0]
        assert "'mosquitto_passwd' contains no login" in errors(passwd="\n")[0]


class TestIncludes:
    CONF = f"{CONF}include_dir /mosquitto/config/conf.d\n"

    def test_included_files_are_read_in_the_order_of_mosquitto(self):
        adoption = read(
            conf=self.CONF,
            conf_d__B_conf="max_queued_messages 2\nmax_qos 1\n",
            conf_d__a_conf="max_queued_messages 1\n",
            conf_d__c_txt="max_queued_messages 3\n",
            other__d_conf="max_queued_messages 4\n",
        )

        assert adoption.settings["broker"]["limits"] == {"maxQueuedMessages": 2}
        assert any(remark.startswith("conf.d/B.conf:2: 'max_qos 1'") for remark in adoption.remarks)

    def test_included_file_begins_without_a_listener(self):
        found = read(
            conf=f"{self.CONF}protocol websockets\nlistener 1885\n",
            conf_d__a_conf="max_qos 1\nlistener 1884\nmax_connections 7\n",
        ).settings["broker"]["listeners"]

        assert unguarded(found) == {
            "websocket": {"port": 1883, "protocol": "websockets"},
            "mqtt": {"port": 1884, "maxConnections": 7},
            "mqtt-1885": {"port": 1885},
        }

    def test_included_file_may_name_passwords_and_acl(self):
        conf = "listener 1883\ninclude_dir conf.d\n"
        named = "password_file /x/mosquitto_passwd\nacl_file /x/mosquitto.acl\n"

        assert [*read(conf=conf, conf_d__a_conf=named).hashes] == ["bob"]

    def test_error_names_the_included_file(self):
        (message,) = errors(conf=self.CONF, conf_d__a_conf="\nlisener 1\n")

        assert message.startswith("conf.d/a.conf:2: 'lisener': ")

    def test_folder_without_conf_and_nested_include_dir_are_remarked(self):
        (message,) = remarks(conf=self.CONF, conf_d__README="no *.conf here")
        assert message.startswith(
            "mosquitto.conf:7: 'include_dir /mosquitto/config/conf.d': the folder 'conf.d'"
        )
        (message,) = remarks(conf=self.CONF, conf_d__a_conf="include_dir /x\n")
        assert message.startswith(
            "conf.d/a.conf:1: 'include_dir /x': Mosquitto ignores include_dir"
        )

    def test_missing_include_dir_is_an_error(self):
        (message,) = errors(conf=self.CONF)

        assert message.startswith(
            "mosquitto.conf:7: 'include_dir /mosquitto/config/conf.d': the folder 'conf.d' is not "
            "beside this file, or is empty"
        )

    def test_longest_end_of_the_path_is_the_folder(self):
        found = read(
            conf=f"{CONF}include_dir /mosquitto/config/site/conf.d\n",
            conf_d__a_conf="max_queued_messages 1\n",
            site__conf_d__a_conf="max_queued_messages 2\n",
        ).settings["broker"]

        assert found["limits"] == {"maxQueuedMessages": 2}
