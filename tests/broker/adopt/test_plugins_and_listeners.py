"""An adopted broker is never wider than the original without an error that says so."""

from __future__ import annotations

import pytest
from existing_broker import (
    CONF,
    HASH,
    ON_2_1,
    errors,
    pbkdf2,
    read,
    remarks,
    unguarded,
)

FILES = (
    "password_file /mosquitto/config/mosquitto_passwd\nacl_file /mosquitto/config/mosquitto.acl\n"
)
ACL_PLUGIN = "plugin /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file /m/mosquitto.acl\n"
PASSWORD_PLUGIN = (
    "plugin /usr/lib/mosquitto_password_file.so\nplugin_opt_password_file /m/mosquitto_passwd\n"
)


class TestPlugins:
    @pytest.mark.parametrize(
        "conf",
        [
            f"listener 1883\n{ACL_PLUGIN}{PASSWORD_PLUGIN}",
            f"{ACL_PLUGIN}password_file /m/mosquitto_passwd\nlistener 1883\n",
            "listener 1883\nacl_file /m/mosquitto.acl\n"
            + PASSWORD_PLUGIN.replace("plugin /", "global_plugin /"),
            ACL_PLUGIN.replace("plugin /", "plugin_load rules /")
            + PASSWORD_PLUGIN.replace("plugin /", "plugin_load users /")
            + "listener 1883\nplugin_use rules\nplugin_use users\n",
            "plugin_load users /x/mosquitto_password_file.so\nlistener 1883\nplugin_use users\n"
            "plugin_opt_password_file /m/mosquitto_passwd\nacl_file /m/mosquitto.acl\n",
        ],
    )
    def test_files_of_the_plugins_of_2_1_are_read(self, conf):
        adoption = read(conf=f"{conf}persistence true\n", place=ON_2_1)

        assert adoption.settings["users"] == {"bob": {"read": ["a"], "password": "adopted"}}
        assert adoption.settings["broker"]["image"] == ON_2_1.image

    @pytest.mark.parametrize(
        "line",
        [
            "plugin /usr/lib/mosquitto_dynamic_security.so",
            "auth_plugin /mosquitto/go-auth.so",
            "global_plugin /x/auth.so",
            "plugin_load rules /x/auth.so\nlistener 1884\nplugin_use rules",
        ],
    )
    def test_other_plugin_is_an_error(self, line):
        conf = CONF.replace("acl_file /etc/mosquitto/mosquitto.acl\n", "")

        messages = errors(conf=f"{conf}{line}\n", place=ON_2_1)

        assert messages[0].startswith(f"mosquitto.conf:6: {line.partition(chr(10))[0]!r}: ")
        assert "a plugin may hold passwords and rules" in messages[0]
        # Its rules may also be narrower than those of the acl_file: it is asked first.
        assert any("a plugin may hold" in error for error in errors(conf=f"{CONF}{line}\n"))

    def test_plugin_without_passwords_and_rules_is_a_remark(self):
        (message,) = remarks(conf=f"{CONF}plugin /usr/lib/mosquitto_persist_sqlite.so\n")

        assert "messages and sessions in its database are not adopted" in message

    @pytest.mark.parametrize("use", ["", "listener 8883\ncertfile /c\nplugin_use x\n"])
    def test_plugin_that_no_adopted_listener_uses_is_a_remark(self, use):
        conf = f"{CONF}plugin_load x /lib/auth.so\n{use}"
        acl = "user bob\ntopic a\nuser eve\ntopic b\n"

        messages = remarks(conf=conf, acl=acl, place=ON_2_1)
        assert any("no adopted listener uses this plugin" in message for message in messages)
        assert any("may log in with a plugin" in message for message in messages)

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            (ACL_PLUGIN.replace("/m/", "/m/other-"), "a second acl_file"),
            (PASSWORD_PLUGIN.replace("/m/", "/m/other-"), "a second password_file"),
            ("plugin /l/mosquitto_password_file.so\n", "has no plugin_opt_password_file"),
            (f"{ACL_PLUGIN}plugin_opt_other hunter2\n", "is no option of this plugin"),
        ],
    )
    def test_ambiguous_plugin_is_an_error(self, lines, why):
        messages = errors(conf=f"{CONF}{lines}")

        assert why in messages[0]
        assert "hunter2" not in messages[0]


class TestLocalOnly:
    @pytest.mark.parametrize(
        "line",
        [
            "max_connections 50",
            "protocol websockets",
            "certfile /c",
            "bind_interface eth0",
            "use_username_as_clientid true",
            "socket_domain ipv6",
            "",
        ],
    )
    def test_conf_without_listener_is_on_the_loopback_only(self, line):
        for place in ({}, {"place": ON_2_1}):
            adoption = read(conf=f"{FILES}{line}\n", **place)

            listeners = adoption.settings["broker"]["listeners"]
            assert listeners == {"mqtt": {"port": 1883, "bindAddress": "127.0.0.1"}}
            assert any("no longer on ::1" in remark for remark in adoption.remarks)
            assert any(
                "has no effect without a 'listener' line" in remark for remark in adoption.remarks
            ) == bool(line)

    @pytest.mark.parametrize("line", ["port 1883", "bind_address 0.0.0.0", "listener 1883"])
    def test_listener_port_and_bind_address_open_the_port(self, line):
        listeners = read(conf=f"{FILES}{line}\n").settings["broker"]["listeners"]

        assert unguarded(listeners) == {"mqtt": {"port": 1883}}

    def test_clients_without_a_login_are_named(self):
        """Without a listener and allow_anonymous, Mosquitto lets them in."""
        assert any(
            "clients without a login may connect" in remark for remark in remarks(conf=FILES)
        )
        for conf in (f"{FILES}allow_anonymous false\n", f"{FILES}listener 1883\n"):
            assert not any("without a login" in remark for remark in remarks(conf=conf))


class TestReleaseLines:
    def test_directive_above_the_listener_opens_a_port_in_2_1_only(self):
        """2.1 opens the default listener for any value, 2.0 only for another than the default."""
        conf = f"{FILES}protocol mqtt\nlistener 1884\n"

        def ports(**place):
            listeners = read(conf=conf, **place).settings["broker"]["listeners"]
            return [listener["port"] for listener in listeners.values()]

        assert ports() == [1884]
        assert ports(place=ON_2_1) == [1883, 1884]
        assert any("2.1 listens on port 1883, too" in remark for remark in remarks(conf=conf))

    def test_different_listeners_are_an_error_unless_the_image_is_known(self):
        """After 'port', 2.1 gives the lines below to the default listener, and 2.0 doesn't."""
        conf = f"{FILES}listener 1884\nport 1883\nprotocol websockets\n"

        (message,) = errors(conf=conf)
        assert "2.0 and 2.1 open different listeners with it; use --image" in message
        assert unguarded(read(conf=conf, place=ON_2_1).settings["broker"]["listeners"]) == {
            "websocket": {"port": 1883, "protocol": "websockets"},
            "mqtt": {"port": 1884},
        }

    def test_directive_of_2_1_is_read_as_2_1_does(self):
        conf = f"{FILES}protocol mqtt\nlistener 1884\nlistener_allow_anonymous false\n"

        adoption = read(conf=conf)
        assert len(adoption.settings["broker"]["listeners"]) == 2
        assert any(
            "is of Mosquitto 2.1; use --image eclipse-mosquitto:2.1.2" in remark
            for remark in adoption.remarks
        )

    @pytest.mark.parametrize("line", ["cafile /c", "tls_version tlsv1.2", "mount_point x"])
    def test_directive_that_needs_a_listener_is_an_error(self, line):
        messages = errors(conf=f"{line}\n{FILES}listener 1883\n", place=ON_2_1)

        assert "must follow a 'listener' line: Mosquitto 2.1 doesn't start" in messages[0]


class TestIdentity:
    PATTERN = "user bob\ntopic read a\npattern readwrite d/%c/#\n"

    @pytest.mark.parametrize("line", ["use_username_as_clientid true", "clientid_prefixes ctl-"])
    def test_client_id_that_rules_use_is_an_error(self, line):
        (message,) = errors(conf=f"{CONF}{line}\n", acl=self.PATTERN)

        assert message.startswith(f"mosquitto.conf:7: {line!r}: ")
        assert "'pattern readwrite d/%c/#' (mosquitto.acl:3)" in message
        assert "Write %u instead of %c" in message

    @pytest.mark.parametrize("line", ["use_username_as_clientid 1", "clientid_prefixes ctl-"])
    def test_client_id_that_no_rule_uses_is_a_remark(self, line):
        (message,) = remarks(conf=f"{CONF}{line}\n", acl=self.PATTERN.replace("%c", "%u"))

        assert message.startswith(f"mosquitto.conf:7: {line!r}: ")
        assert "A user who takes the id of another's client ends that connection" in message

    def test_client_id_of_a_closed_listener_is_no_error(self):
        conf = f"{CONF}listener 8883\ncertfile /c\nuse_username_as_clientid true\n"

        assert read(conf=conf, acl=self.PATTERN)

    @pytest.mark.parametrize(
        ("lines", "way"),
        [
            ("certfile /c\nuse_identity_as_username true\n", "a certificate"),
            ("psk_hint x\npsk_file /psk\n", "a pre-shared key"),
        ],
    )
    def test_user_without_a_password_is_named_with_its_login(self, lines, way):
        conf = f"{CONF}listener 8883\n{lines}"
        acl = "user bob\ntopic a\nuser eve\ntopic b\n"

        (message,) = [text for text in remarks(conf=conf, acl=acl) if "'user eve'" in text]
        assert f"has no password, and may log in with {way}" in message
        assert "loses its 1 rules" in message


class TestWiderListeners:
    @pytest.mark.parametrize("address", ["::", "0::0", "::0"])
    def test_address_of_ipv6_only_is_an_error(self, address):
        (message,) = errors(conf=f"{FILES}listener 1883 {address}\n")

        assert message.startswith(f"mosquitto.conf:3: 'listener 1883 {address}': ")
        assert "so IPv4 would be opened" in message

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("bind_interface eth0", "open on every interface"),
            ("mount_point site/", "would reach topics outside"),
            ("socket_domain ipv6", "so IPv4 would be opened"),
        ],
    )
    def test_line_that_narrows_a_listener_is_an_error(self, line, why):
        (message,) = errors(conf=f"{CONF}listener 1884\n{line}\n")

        assert message.startswith(f"mosquitto.conf:8: {line!r}: ")
        assert why in message
        # A listener that is not adopted opens nothing.
        assert read(conf=f"{CONF}listener 1884\n{line}\ncertfile /c\n")

    def test_ipv4_only_and_an_ipv6_address_are_adopted(self):
        listeners = read(
            conf=f"{FILES}listener 1883\nsocket_domain ipv4\nlistener 1884 fd00::3\n"
        ).settings["broker"]["listeners"]

        assert unguarded(listeners) == {
            "mqtt": {"port": 1883},
            "mqtt-1884": {"port": 1884, "bindAddress": "fd00::3"},
        }


class TestWords:
    @pytest.mark.parametrize(
        ("line", "section", "settings"),
        [
            ("max_packet_size 4096 # 4 KiB", "limits", {"maxPacketSize": 4096}),
            ("autosave_on_changes true # always", "persistence", {"autosaveOnChanges": True}),
            ("max_queued_messages 5 6", "limits", {"maxQueuedMessages": 5}),
        ],
    )
    def test_words_after_a_number_or_a_boolean_are_ignored(self, line, section, settings):
        conf = f"{CONF}autosave_interval 300\n{line}\n"

        assert read(conf=conf).settings["broker"][section] == settings
        assert remarks(conf=conf) == []

    def test_words_after_a_protocol_a_port_and_a_limit_are_ignored(self):
        conf = f"{FILES}port 1900 # old\nlistener 9001 # new\nprotocol websockets # for browsers\n"

        found = read(conf=f"{conf}max_connections 10 # few\n").settings["broker"]["listeners"]
        assert unguarded(found) == {
            "mqtt": {"port": 1900},
            "websocket": {"port": 9001, "protocol": "websockets"},
        }

    def test_words_after_a_path_belong_to_it(self):
        conf = CONF.replace("mosquitto_passwd", "mosquitto_passwd # passwords")

        assert "'mosquitto_passwd # passwords' is not in the folder" in errors(conf=conf)[0]

    def test_tab_after_the_port_is_no_separator(self):
        """2.0 reads the port, ignores the address, and listens on every address."""
        assert "must be an integer" in errors(conf=f"{FILES}listener 1883\t127.0.0.1\n")[0]


class TestPaths:
    CONF = CONF.replace("/etc/mosquitto/mosquitto.acl", "/mosquitto/config/acl/site.acl")

    def test_longest_end_of_the_path_is_read_and_named(self):
        files = {
            "conf": self.CONF,
            "acl__site_acl": "user bob\ntopic read new\n",
            "site_acl": "user bob\ntopic read old\n",
        }

        assert read(**files).settings["users"]["bob"]["read"] == ["new"]
        (message,) = remarks(**files)
        assert message.endswith("read from 'acl/site.acl', not from 'site.acl'")

    def test_file_in_another_folder_than_the_path_says_is_named(self):
        files = {"conf": self.CONF, "site_acl": "user bob\ntopic read a\n"}

        (message,) = remarks(**files)
        assert message.endswith("read from 'site.acl', beside mosquitto.conf")
        assert read(**files).settings["broker"]["files"]["acl"] == "site.acl"

    def test_file_of_the_same_name_elsewhere_is_not_read(self):
        messages = errors(conf=self.CONF, other__site_acl="user bob\ntopic read a\n")

        assert "'site.acl' is not in the folder of mosquitto.conf" in messages[0]


class TestPerListenerSettings:
    ANN = f"bob:{HASH}\nann:{HASH}\n"

    def conf(self, *second, first=FILES):
        lines = "".join(f"{line}\n" for line in second)
        return f"per_listener_settings true\nlistener 1883\n{first}listener 1884\n{lines}"

    def test_same_files_are_adopted_with_who_could_log_in_where(self):
        conf = self.conf(*FILES.splitlines())

        assert read(conf=conf).settings["users"].keys() == {"bob"}
        (message,) = [text for text in remarks(conf=conf) if "per_listener_settings" in text]
        assert message.endswith(
            "bob could log in on port 1883; bob could log in on port 1884. Now bob can log in on "
            "all of them"
        )

    def test_user_that_gains_a_listener_is_an_error(self):
        conf = self.conf("password_file /m/other", "acl_file /m/mosquitto.acl")

        (message,) = errors(conf=conf, passwd=self.ANN, other=f"bob:{HASH}\n")
        assert message.startswith("mosquitto.conf:5: 'listener 1884': ann may not log in on port")
        assert "would gain port 1884" in message
        (message,) = errors(conf=conf, other=self.ANN)
        assert message.startswith("mosquitto.conf:2: 'listener 1883': ann may not log in on port")

    def test_another_password_on_another_listener_is_an_error(self):
        conf = self.conf("password_file /m/other", "acl_file /m/mosquitto.acl")

        (message,) = errors(conf=conf, other=f"bob:{pbkdf2('another')}\n")
        assert "bob: another password on port 1884" in message

    def test_listener_on_which_nobody_can_log_in_is_an_error(self):
        (message,) = errors(conf=self.conf("acl_file /m/mosquitto.acl"))

        assert "bob may not log in on port 1884" in message

    def test_other_rules_on_another_listener_are_an_error(self):
        conf = self.conf("password_file /m/mosquitto_passwd", "acl_file /m/other")

        (message,) = errors(conf=conf, other="user bob\ntopic read b\n")
        assert message.startswith(
            "mosquitto.conf:5: 'listener 1884': bob: other rules on port 1884"
        )
        (message,) = errors(conf=conf, other="user bob\ntopic read a\npattern read x/%u\n")
        assert "bob: other rules on port 1884 (other)" in message
        # Users without a login and the order do not matter.
        assert read(conf=conf, other="user eve\ntopic #\nuser bob\ntopic read a\n")

    def test_listener_without_rules_or_logins_is_wider_already(self):
        conf = self.conf("password_file /m/mosquitto_passwd")
        assert any(
            "port 1884 has no acl_file, so users may do everything there" in text
            for text in remarks(conf=conf)
        )
        assert read(conf=self.conf("allow_anonymous true")).settings["users"].keys() == {"bob"}

    def test_users_of_a_closed_listener_are_named(self):
        conf = self.conf("certfile /c", "password_file /m/other")

        messages = remarks(conf=conf, other=f"ann:{HASH}\n")
        assert any("ann can log in on this listener only" in message for message in messages)

    def test_login_of_a_closed_listener_only_is_an_error(self):
        conf = self.conf("certfile /c", "password_file /m/other", first="allow_anonymous true\n")

        (message,) = errors(conf=conf, other=f"ann:{HASH}\n")
        assert "no adopted listener has a password_file" in message

    def test_default_listener_has_its_own_files(self):
        conf = f"per_listener_settings true\n{FILES}listener 1884\npassword_file /m/other\n"
        conf += "acl_file /m/mosquitto.acl\n"

        assert "would gain port 1883" in errors(conf=conf, other=self.ANN)[0]

    def test_it_must_be_above_passwords_and_rules(self):
        (message, *_) = errors(conf=f"{CONF}per_listener_settings true\n")

        assert "must be above all passwords, rules and plugins" in message

    def test_plugin_of_one_listener_decides_there_only(self):
        conf = (
            "plugin_load users /l/mosquitto_password_file.so\n"
            "plugin_opt_password_file /m/mosquitto_passwd\nacl_file /m/mosquitto.acl\n"
            "listener 1883\nplugin_use users\nlistener 1884\n"
        )

        (message,) = errors(conf=conf, place=ON_2_1)
        assert "bob may not log in on port 1884" in message


def test_latin_1_and_a_byte_order_mark_in_comments_are_accepted():
    conf = f"\ufeff# caf\udce9\n{CONF}"

    assert read(conf=conf).settings == read().settings
    assert any("byte order mark" in message for message in remarks(conf=conf))
    assert "is not UTF-8" in errors(conf=f"{CONF}pid_file /run/caf\udce9\n")[0]
