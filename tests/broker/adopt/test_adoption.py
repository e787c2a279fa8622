"""Adoption of an existing broker: settings, remarks and errors for every line."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime

import pytest
import yaml

from broker.access.guardrails import guardrail_findings
from broker.adopt.adopted_settings import PRIVATE, Place
from broker.adopt.adoption import AdoptionError, adopt, render_stack_file
from broker.adopt.mosquitto_conf_parser import BRIDGE, DIRECTIVES
from broker.credentials.external_secrets import secret_errors
from broker.credentials.password_hashes import hash_password
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
PLACE = Place(
    address="192.168.2.3",
    config="/opt/sentient/config/mosquitto-prod",
    container="mosquitto-shared",
    data="/opt/sentient/volumes/mosquitto-data-shared",
    log="/opt/sentient/volumes/mosquitto-logs-shared",
)


def pbkdf2(password):
    return hash_password(password, bytes(12), 101)


def sha512(salt=bytes(12), digest=bytes(64)):
    return f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


HASH = pbkdf2("s3cret")
CONF = """\
listener 1883
max_connections 1000
max_packet_size 2000000
persistence true
password_file /etc/mosquitto/mosquitto_passwd
acl_file /etc/mosquitto/mosquitto.acl
"""


SHA512 = f"bob:{sha512(digest=hashlib.sha512(b'hunter2' + bytes(12)).digest())}"


def read(conf=CONF, passwd=f"bob:{HASH}\n", acl="user bob\ntopic read a\n", place=PLACE, **others):
    """Adopt; *others* are files by name, with ``__`` for a slash and ``_`` for a dot."""
    texts = {"mosquitto.conf": conf, "mosquitto_passwd": passwd, "mosquitto.acl": acl}
    texts |= {name.replace("__", "/").replace("_", "."): text for name, text in others.items()}
    adoption = adopt("mosquitto.conf", texts, place, seed="seed")
    settings = Settings.parse(adoption.settings)
    assert secret_errors(settings, {"hashes": adoption.hashes}, datetime.now(UTC)) == []
    return adoption


def broker(*lines, conf=CONF):
    return read(conf=conf + "".join(f"{line}\n" for line in lines)).settings["broker"]


PRIVATE_NETWORKS = [*PRIVATE]


def remarks(**files):
    """The remarks about lines, without the assumptions about every broker."""
    return [remark for remark in read(**files).remarks if not remark.startswith("broker.")]


def errors(**files):
    with pytest.raises(AdoptionError) as error:
        read(**files)
    return str(error.value).split("\n")


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


class TestPasswords:
    @pytest.mark.parametrize(
        "line",
        [f"bob:{HASH}", f" bob : {HASH} ", f"bob:{HASH}\r", f"bob:{sha512()}", "bob::" + HASH],
    )
    def test_hash_is_kept(self, line):
        adoption = read(passwd=f"{line}\n")

        assert adoption.hashes["bob"] == line.partition(":")[2].strip(": \r")
        assert adoption.settings["users"]["bob"] == {"read": ["a"], "password": "adopted"}

    def test_lines_that_mosquitto_skips_are_remarked(self):
        passwd = f"# note\n#eve:{HASH}\nhunter2\n\nbob:{HASH}\n"

        assert remarks(passwd=passwd) == [
            "mosquitto_passwd:1: '#': a comment, or a login that is commented out; not adopted",
            "mosquitto_passwd:2: '#': a comment, or a login that is commented out; not adopted",
            "mosquitto_passwd:3: '': has no ':', so Mosquitto skips it; not adopted",
        ]

    def test_plain_text_password_is_hashed_with_a_remark(self):
        adoption = read(passwd="bob:hunter2\n")

        assert adoption.hashes["bob"].startswith("$7$210000$")
        assert adoption.hashes == read(passwd="bob: hunter2 \r\n").hashes
        (message,) = [remark for remark in adoption.remarks if "mosquitto_passwd" in remark]
        assert message.startswith("mosquitto_passwd:1: 'bob': its password was in plain text")
        assert "rotate it" in message

    def test_user_without_rules_is_adopted_with_a_remark(self):
        adoption = read(passwd=f"bob:{HASH}\nann:{HASH}\n")

        assert adoption.settings["users"]["ann"] == {"password": "adopted"}
        (message,) = [remark for remark in adoption.remarks if "ann" in remark]
        assert message.startswith("mosquitto_passwd:2: 'ann': has no rules of its own")

    @pytest.mark.parametrize(
        ("lines", "where", "why"),
        [
            ([f"bob:{HASH}", f"bob:{HASH}"], "2: 'bob'", "line 1 has this login, too"),
            (["bob:"], "1: 'bob'", "has no password"),
            ([f"bob:{HASH[:-4]}"], "1: 'bob'", "bytes and not 64"),
            ([f"bob:{HASH[:-3]}"], "1: 'bob'", "copied in part?"),
            ([f"bob:{HASH}:x"], "1: 'bob'", "after a second ':'"),
            (["bob:$6$abc"], "1: 'bob'", "is no hash that 2.0 and 2.1 both read"),
            (["bob:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"], "1: 'bob'", "is no hash"),
            ([f"bob:{sha512(salt=bytes(8))}"], "1: 'bob'", "salt must have 12 bytes"),
            ([f"b b:{HASH}"], "1: 'b b'", "in the ACL file and in the clients"),
            ([f":{HASH}"], "1: ''", "a user name is 1 to 64"),
            ([f"{HASH}:bob"], "1: ''", "a user name is 1 to 64"),
        ],
    )
    def test_invalid_login_is_an_error_that_does_not_quote_it(self, lines, where, why):
        messages = errors(passwd="".join(f"{line}\n" for line in lines))

        assert messages[0].startswith(f"mosquitto_passwd:{where}: ")
        assert why in messages[0]
        assert "$7$" not in "".join(messages).replace("$7$... (PBKDF2) or $6$...", "")

    def test_salt_that_only_2_1_reads_is_an_error(self):
        long = HASH.split("$")
        long[3] = base64.b64encode(bytes(64)).decode()

        (message,) = errors(passwd=f"bob:{'$'.join(long)}\n")
        assert message.startswith("mosquitto_passwd:1: 'bob': its salt must have 12 bytes")

    def test_errors_of_all_files_are_reported_together(self):
        messages = errors(passwd="a:\nb:\n", acl="topics x\n", conf=f"{CONF}prot x\n")

        assert [error.partition(": ")[0] for error in messages] == [
            "mosquitto.conf:7",
            "mosquitto_passwd:1",
            "mosquitto_passwd:2",
            "mosquitto.acl:1",
        ]

    def test_output_contains_no_secret(self):
        passwd = f"# bob:hunter2\nbob:hunter2\nhunter2\nann:{HASH}\n"
        adoption = read(passwd=passwd, acl="# password hunter2\nuser bob\ntopic a\n")

        text = "".join(adoption.remarks) + repr(adoption) + render_stack_file(adoption.settings)
        assert "hunter2" not in text
        assert HASH not in text


class TestRules:
    def test_every_kind_of_rule_is_adopted(self):
        acl = (
            "user bob\r\ntopic a\r\n  topic  read  b c\r\ntopic write d\r\n"
            "topic deny e\r\ntopic readwrite f/#\r\n\r\n"
        )

        assert read(acl=acl).settings["users"]["bob"] == {
            "readwrite": ["a", "f/#"],
            "read": ["b c"],
            "write": ["d"],
            "deny": ["e"],
            "password": "adopted",
        }
        assert remarks(acl=acl) == []

    def test_blocks_of_one_user_are_merged(self):
        acl = "user bob\ntopic read a\nuser ann\ntopic read b\nuser bob\ntopic read a\ntopic c\n"

        users = read(acl=acl, passwd=f"bob:{HASH}\nann:{HASH}\n").settings["users"]
        assert users["bob"] == {"readwrite": ["c"], "read": ["a"], "password": "adopted"}
        assert [*users] == ["bob", "ann"]

    def test_patterns_apply_to_all_users_wherever_they_are(self):
        acl = "pattern read in/%u/#\nuser bob\npattern write out/%c\npattern deny x/%u\n"

        assert read(acl=acl).settings["patterns"] == {
            "read": ["in/%u/#"],
            "write": ["out/%c"],
            "deny": ["x/%u"],
        }

    def test_rules_above_the_first_user_are_not_adopted(self):
        acl = "topic read public/#\nuser bob\ntopic read a\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:1: 'topic read public/#': is above the first")
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    def test_user_without_a_login_is_not_adopted(self):
        acl = "user bob\ntopic read a\nuser eve\ntopic read b\ntopic write /c\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:3: 'user eve': has no login, so its 2 rules have")
        assert [*read(acl=acl).settings["users"]] == ["bob"]

    @pytest.mark.parametrize(
        "line", ["topic\tread b", "\ttopic read b", "topic read b\tc", "topic read\tb"]
    )
    def test_rule_with_a_tab_is_not_adopted(self, line):
        acl = f"user bob\ntopic read a\n{line}\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:3: ")
        assert "contains a tab" in message
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    @pytest.mark.parametrize(
        "line", ["user\tann", "\tuser ann", "topic\tdeny b", "topic deny b\tc"]
    )
    def test_tab_in_a_user_or_deny_line_is_an_error(self, line):
        (message,) = errors(acl=f"user bob\ntopic read a\n{line}\ntopic read b\n")

        assert message.startswith("mosquitto.acl:3: ")
        assert "use a space" in message

    def test_tab_at_the_end_of_a_line_is_ignored(self):
        assert remarks(acl="user bob\ntopic read a\t\n") == []

    @pytest.mark.parametrize(
        "line",
        [
            "topics read a",
            "topic Read a",
            "topic",
            "pattern",
            "user",
            "topic read a # comment",
            "topic read a/#/b",
            "topic read a+/b",
            " # comment",
        ],
    )
    def test_line_that_mosquitto_rejects_is_an_error(self, line):
        (message,) = errors(acl=f"user bob\ntopic read a\n{line}\n")

        shown = {"topics read a": "topics", " # comment": ""}.get(line, line)
        assert message.startswith(f"mosquitto.acl:3: {shown!r}: ")
        assert "Mosquitto rejects this line" in message

    @pytest.mark.parametrize("filter_", ["/a/b", "a//b", "a/", "devices/%u/x"])
    def test_unsupported_grant_is_a_remark(self, filter_):
        acl = f"user bob\ntopic read a\ntopic read {filter_}\n"

        (message,) = remarks(acl=acl)
        assert message.startswith(f"mosquitto.acl:3: 'topic read {filter_}': ")
        assert "Not adopted: bob may no longer do this" in message
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    @pytest.mark.parametrize("rule", ["topic deny /a", "pattern deny x%u/y"])
    def test_unsupported_denial_is_an_error(self, rule):
        (message,) = errors(acl=f"user bob\ntopic #\n{rule}\n")

        assert message.startswith(f"mosquitto.acl:3: {rule!r}: ")
        assert "Without this rule the topic would be allowed" in message

    def test_users_keep_all_rights_without_an_acl_file(self):
        adoption = read(conf=CONF.replace("acl_file", "#"))

        assert adoption.settings["users"]["bob"] == {
            "readwrite": ["#"],
            "read": ["$SYS/#"],
            "password": "adopted",
        }
        assert any("has no acl_file" in remark for remark in adoption.remarks)

    @pytest.mark.parametrize(
        ("above", "description"),
        [
            ("# The door\n", "The door"),
            ("## The door ##\n", "The door ##"),
            ("#\n# The door\n", None),
            ("# The door\n\n", None),
            ("#----\n", None),
            ("# topic read x\n", None),
            ("# user eve\n", None),
            ("# password: hunter2\n", None),
            ("# bob pass hunter2\n", None),
            ("# pw hunter2\n", None),
            ("# The door=tr0ub4dor\n", None),
            ("# door: 1234\n", None),
            ("# the key is under the mat\n", None),
            ("# pin 1234\n", None),
            ("# Keypad at the pinnacle\n", "Keypad at the pinnacle"),
            ("# " + "x" * 201 + "\n", None),
            ("# bell \a\n", None),
        ],
    )
    def test_single_comment_above_a_user_becomes_the_description(self, above, description):
        acl = f"topic read x\n{above}user bob\ntopic read a\n"

        assert read(acl=acl).settings["users"]["bob"].get("description") == description
        unused = any("comments are not adopted" in remark for remark in remarks(acl=acl))
        assert unused == (description is None)

    @pytest.mark.parametrize("login", ["bob:hunter2", f"bob:{pbkdf2('hunter2')}", SHA512])
    def test_comment_with_the_password_of_the_user_is_not_adopted(self, login):
        texts = {"acl": "# bob hunter2\nuser bob\ntopic read a\n", "passwd": f"{login}\n"}

        assert "description" not in read(**texts).settings["users"]["bob"]
        (message,) = [remark for remark in remarks(**texts) if "acl:2" in remark]
        assert (
            message == "mosquitto.acl:2: '': the comment above it contains a password; not adopted"
        )

    def test_comment_with_a_plain_text_password_is_not_adopted(self):
        texts = {
            "acl": "# not like hunter2!\nuser bob\ntopic read a\n",
            "passwd": f"bob:{HASH}\neve:hunter2\n",
        }

        assert "description" not in read(**texts).settings["users"]["bob"]

    def test_unused_comments_are_remarked_with_their_lines(self):
        acl = "# a\n\n# Bob\nuser bob\n# c\ntopic read a\n# d\n"

        (message,) = remarks(acl=acl)
        assert message == (
            "mosquitto.acl:1: '#': comments are not adopted, except a single line above a "
            "user (not adopted: lines 1, 5, 7)"
        )


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
            seed="",
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
            ("per_listener_settings true", "every listener has the same users and rules"),
            ("plugin /usr/lib/mosquitto_dynamic_security.so", "not supported"),
            ("log_dest syslog", "not supported"),
            ("mount_point site/", "lose their prefix"),
            ("bind_interface eth0", "bindAddress"),
            ("message_size_limit 100", "not supported"),
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
        "line", ["plugin_opt_pg_password hunter2", "auth_opt_x hunter2", "plugin_opt_y"]
    )
    def test_plugin_option_value_is_not_quoted(self, line):
        (message,) = remarks(conf=f"{CONF}{line}\n")

        assert message == f"mosquitto.conf:7: {line.split()[0]!r}: not supported"

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


def unguarded(listeners):
    """Return *listeners* without the assumed networks."""
    return {
        name: {key: value for key, value in listener.items() if key != "allowFrom"}
        for name, listener in listeners.items()
    }


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
        (listener,) = (
            read(conf="listener 1883 ::\npassword_file mosquitto_passwd\nacl_file mosquitto.acl\n")
            .settings["broker"]["listeners"]
            .values()
        )

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

    @pytest.mark.parametrize("line", ["protocol mqtt", "max_connections -1", "max_qos 2"])
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
        messages = errors(conf=CONF.replace("listener 1883", "listener 8883\ncertfile /c"))

        assert "no listener has plain MQTT" in messages[0]


class TestIncludes:
    CONF = f"{CONF}include_dir /mosquitto/config/conf.d\n"

    def test_included_files_are_read_in_the_order_of_mosquitto(self):
        adoption = read(
            conf=self.CONF,
            conf_d__B_conf="max_queued_messages 2\nmount_point x\n",
            conf_d__a_conf="max_queued_messages 1\n",
            conf_d__c_txt="max_queued_messages 3\n",
            other__d_conf="max_queued_messages 4\n",
        )

        assert adoption.settings["broker"]["limits"] == {"maxQueuedMessages": 2}
        assert any(
            remark.startswith("conf.d/B.conf:2: 'mount_point x'") for remark in adoption.remarks
        )

    def test_included_file_begins_without_a_listener(self):
        found = read(
            conf=f"{self.CONF}bind_interface lo\nprotocol websockets\nlistener 1885\n",
            conf_d__a_conf="listener 1884\nmax_connections 7\n",
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

    def test_empty_and_nested_include_dirs_are_remarked(self):
        (message,) = remarks(conf=self.CONF)
        assert message.startswith(
            "mosquitto.conf:7: 'include_dir /mosquitto/config/conf.d': the folder 'conf.d'"
        )
        (message,) = remarks(conf=self.CONF, conf_d__a_conf="include_dir /x\n")
        assert message.startswith(
            "conf.d/a.conf:1: 'include_dir /x': Mosquitto ignores include_dir"
        )
