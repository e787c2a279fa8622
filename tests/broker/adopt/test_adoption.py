"""A broker set up by hand: what is adopted, what is remarked, what is refused; nothing is lost."""

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

# The seed's page: "Access Control (ACL)", "Ports", "Volumes", "Performance Tuning", "Checklist".
SEED_ACL = """\
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
SEED_CONF = """\
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
SEED_USERS = re.findall(r"^user (.*)$", SEED_ACL, re.MULTILINE)
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
    """Adopt; *others* are files by name, with ``__`` for a slash and ``_`` for a point."""
    texts = {"mosquitto.conf": conf, "mosquitto_passwd": passwd, "mosquitto.acl": acl}
    texts |= {name.replace("__", "/").replace("_", "."): each for name, each in others.items()}
    adoption = adopt("mosquitto.conf", texts, place, seed="seed")
    settings = Settings.parse(adoption.settings)
    assert secret_errors(settings, {"hashes": adoption.hashes}, datetime.now(UTC)) == []
    return adoption


def broker(*more, conf=CONF):
    return read(conf=conf + "".join(f"{each}\n" for each in more)).settings["broker"]


PRIVATE_NETWORKS = [*PRIVATE]


def remarks(**files):
    """What is remarked beside what is assumed of every broker."""
    return [each for each in read(**files).remarks if not each.startswith("broker.")]


def refused(**files):
    with pytest.raises(AdoptionError) as wrong:
        read(**files)
    return str(wrong.value).split("\n")


class TestTheSeeds:
    @pytest.fixture
    def adoption(self):
        passwd = "".join(f"{name}:{pbkdf2(name)}\n" for name in SEED_USERS)
        return read(conf=SEED_CONF, passwd=passwd, acl=SEED_ACL)

    def test_the_acl_is_rendered_as_it_was_line_by_line(self, adoption):
        assert render_acl(Settings.parse(adoption.settings)).startswith(SEED_ACL)

    def test_every_directive_is_rendered_as_it_was(self, adoption):
        rendered = render_conf(Settings.parse(adoption.settings).broker).splitlines()

        said = {line for line in SEED_CONF.splitlines() if line and not line.startswith("#")}
        # One byte less: see docs/explanation/decisions.
        assert said - set(rendered) == {"max_packet_size 268435456"}

    def test_every_hash_is_kept_and_every_user_adopted(self, adoption):
        assert adoption.hashes == {name: pbkdf2(name) for name in SEED_USERS}
        assert [*adoption.settings["users"]] == SEED_USERS
        for user in adoption.settings["users"].values():
            assert user["password"] == "adopted"

    def test_what_is_remarked_is_what_is_assumed_the_comments_and_a_limit(self, adoption):
        assert [each.partition(": ")[0] for each in adoption.remarks] == [
            "mosquitto.conf:15",
            "broker.listeners",
            "broker.listeners",
            "mosquitto.conf",
            "broker.listeners",
            "broker.host",
            "broker.image",
        ]
        assert "listener 1883 has no max_connections" in "".join(adoption.remarks)

    def test_no_guardrail_stops_it_in_production(self, adoption):
        assert guardrail_findings(Settings.parse(adoption.settings), "prod") == []

    def test_the_stack_file_reads_back_as_the_same_settings(self, adoption):
        text = render_stack_file(adoption.settings)

        config = yaml.safe_load(text)["config"]
        assert {
            key.removeprefix("sentient-mqtt:"): value for key, value in config.items()
        } == adoption.settings
        assert "  sentient-mqtt:users:\n    admin:\n" in text
        assert '      readwrite: ["#"]\n' in text
        assert '      write: ["paragon/+/sensors/#", "paragon/+/status/#", ' in text


@pytest.mark.parametrize("text", ["1e3", "0o17", "1:30", "no", "null", "a: b", "a #b", "~", "a:"])
def test_words_that_yaml_would_take_for_others_stand_in_quotes(text):
    settings = {"users": {text: {"description": text, "read": [text]}}}

    rendered = render_stack_file(settings)
    assert yaml.safe_load(rendered)["config"]["sentient-mqtt:users"] == settings["users"]
    assert rendered.count('"') + rendered.count("'") == 6


class TestPasswords:
    @pytest.mark.parametrize(
        "line",
        [f"bob:{HASH}", f" bob : {HASH} ", f"bob:{HASH}\r", f"bob:{sha512()}", "bob::" + HASH],
    )
    def test_a_hash_is_kept_as_it_is(self, line):
        adoption = read(passwd=f"{line}\n")

        assert adoption.hashes["bob"] == line.partition(":")[2].strip(": \r")
        assert adoption.settings["users"]["bob"] == {"read": ["a"], "password": "adopted"}

    def test_of_lines_that_mosquitto_skips_it_is_said_that_they_are_skipped(self):
        passwd = f"# note\n#eve:{HASH}\nhunter2\n\nbob:{HASH}\n"

        assert remarks(passwd=passwd) == [
            "mosquitto_passwd:1: '#': a comment, also where it was a login; not adopted",
            "mosquitto_passwd:2: '#': a comment, also where it was a login; not adopted",
            "mosquitto_passwd:3: '': has no ':', so Mosquitto skips it; not adopted",
        ]

    def test_a_password_in_plain_text_is_hashed_and_to_be_rotated(self):
        adoption = read(passwd="bob:hunter2\n")

        assert adoption.hashes["bob"].startswith("$7$210000$")
        assert adoption.hashes == read(passwd="bob: hunter2 \r\n").hashes
        (said,) = [each for each in adoption.remarks if "mosquitto_passwd" in each]
        assert said.startswith("mosquitto_passwd:1: 'bob': its password was in plain text")
        assert "rotate it" in said

    def test_one_without_rules_is_adopted_and_remarked(self):
        adoption = read(passwd=f"bob:{HASH}\nann:{HASH}\n")

        assert adoption.settings["users"]["ann"] == {"password": "adopted"}
        (said,) = [each for each in adoption.remarks if "ann" in each]
        assert said.startswith("mosquitto_passwd:2: 'ann': has no rules of its own")

    @pytest.mark.parametrize(
        ("lines", "where", "why"),
        [
            ([f"bob:{HASH}", f"bob:{HASH}"], "2: 'bob'", "has a login in line 1 already"),
            (["bob:"], "1: 'bob'", "has no password"),
            ([f"bob:{HASH[:-4]}"], "1: 'bob'", "bytes and not 64"),
            ([f"bob:{HASH[:-3]}"], "1: 'bob'", "is it incomplete?"),
            ([f"bob:{HASH}:x"], "1: 'bob'", "behind a second ':'"),
            (["bob:$6$abc"], "1: 'bob'", "is not a hash that 2.0 and 2.1 both accept"),
            (["bob:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"], "1: 'bob'", "is not a hash"),
            ([f"bob:{sha512(salt=bytes(8))}"], "1: 'bob'", "salt must have 12 bytes"),
            ([f"b b:{HASH}"], "1: 'b b'", "in the ACL and at its clients"),
            ([f":{HASH}"], "1: ''", "a user name is 1 to 64"),
            ([f"{HASH}:bob"], "1: ''", "a user name is 1 to 64"),
        ],
    )
    def test_a_broken_line_is_refused_by_its_place_and_not_shown(self, lines, where, why):
        said = refused(passwd="".join(f"{each}\n" for each in lines))

        assert said[0].startswith(f"mosquitto_passwd:{where}: ")
        assert why in said[0]
        assert "$7$" not in "".join(said).replace("$7$... (PBKDF2) or $6$...", "")

    def test_a_salt_that_only_2_1_reads_is_refused(self):
        long = HASH.split("$")
        long[3] = base64.b64encode(bytes(64)).decode()

        (said,) = refused(passwd=f"bob:{'$'.join(long)}\n")
        assert said.startswith("mosquitto_passwd:1: 'bob': its salt must have 12 bytes")

    def test_all_that_must_be_mended_is_said_at_once(self):
        said = refused(passwd="a:\nb:\n", acl="topics x\n", conf=f"{CONF}prot x\n")

        assert [each.partition(": ")[0] for each in said] == [
            "mosquitto.conf:7",
            "mosquitto_passwd:1",
            "mosquitto_passwd:2",
            "mosquitto.acl:1",
        ]

    def test_nothing_secret_is_in_what_is_said(self):
        passwd = f"# bob:hunter2\nbob:hunter2\nhunter2\nann:{HASH}\n"
        adoption = read(passwd=passwd, acl="# password hunter2\nuser bob\ntopic a\n")

        text = "".join(adoption.remarks) + repr(adoption) + render_stack_file(adoption.settings)
        assert "hunter2" not in text
        assert HASH not in text


class TestRules:
    def test_all_that_a_line_can_say(self):
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

    def test_two_blocks_of_a_user_are_one(self):
        acl = "user bob\ntopic read a\nuser ann\ntopic read b\nuser bob\ntopic read a\ntopic c\n"

        users = read(acl=acl, passwd=f"bob:{HASH}\nann:{HASH}\n").settings["users"]
        assert users["bob"] == {"readwrite": ["c"], "read": ["a"], "password": "adopted"}
        assert [*users] == ["bob", "ann"]

    def test_patterns_are_everybodys_wherever_they_stand(self):
        acl = "pattern read in/%u/#\nuser bob\npattern write out/%c\npattern deny x/%u\n"

        assert read(acl=acl).settings["patterns"] == {
            "read": ["in/%u/#"],
            "write": ["out/%c"],
            "deny": ["x/%u"],
        }

    def test_rules_above_the_first_user_are_nobodys_any_more(self):
        acl = "topic read public/#\nuser bob\ntopic read a\n"

        (said,) = remarks(acl=acl)
        assert said.startswith("mosquitto.acl:1: 'topic read public/#': stands above the first 'us")
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    def test_a_user_without_a_password_is_not_adopted(self):
        acl = "user bob\ntopic read a\nuser eve\ntopic read b\ntopic write /c\n"

        (said,) = remarks(acl=acl)
        assert said.startswith("mosquitto.acl:3: 'user eve': has no login, so its 2 rules open")
        assert [*read(acl=acl).settings["users"]] == ["bob"]

    @pytest.mark.parametrize(
        "line", ["topic\tread b", "\ttopic read b", "topic read b\tc", "topic read\tb"]
    )
    def test_a_line_with_a_tab_is_read_as_if_it_were_blank(self, line):
        acl = f"user bob\ntopic read a\n{line}\n"

        (said,) = remarks(acl=acl)
        assert said.startswith("mosquitto.acl:3: ")
        assert "holds a tab" in said
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    @pytest.mark.parametrize(
        "line", ["user\tann", "\tuser ann", "topic\tdeny b", "topic deny b\tc"]
    )
    def test_a_tab_whose_line_kept_others_out_is_refused(self, line):
        (said,) = refused(acl=f"user bob\ntopic read a\n{line}\ntopic read b\n")

        assert said.startswith("mosquitto.acl:3: ")
        assert "put a space there" in said

    def test_a_tab_at_the_end_is_nothing(self):
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
    def test_a_line_that_mosquitto_refuses_is_refused(self, line):
        (said,) = refused(acl=f"user bob\ntopic read a\n{line}\n")

        shown = {"topics read a": "topics", " # comment": ""}.get(line, line)
        assert said.startswith(f"mosquitto.acl:3: {shown!r}: ")
        assert "Mosquitto reads no such line" in said

    @pytest.mark.parametrize("filter_", ["/a/b", "a//b", "a/", "devices/%u/x"])
    def test_a_grant_that_can_not_be_said_is_remarked(self, filter_):
        acl = f"user bob\ntopic read a\ntopic read {filter_}\n"

        (said,) = remarks(acl=acl)
        assert said.startswith(f"mosquitto.acl:3: 'topic read {filter_}': ")
        assert "Not adopted: bob may no longer do this" in said
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    @pytest.mark.parametrize("rule", ["topic deny /a", "pattern deny x%u/y"])
    def test_a_denial_that_can_not_be_said_is_refused(self, rule):
        (said,) = refused(acl=f"user bob\ntopic #\n{rule}\n")

        assert said.startswith(f"mosquitto.acl:3: {rule!r}: ")
        assert "it would open what it closes" in said

    def test_without_an_acl_everybody_may_do_what_everybody_could(self):
        adoption = read(conf=CONF.replace("acl_file", "#"))

        assert adoption.settings["users"]["bob"] == {
            "readwrite": ["#"],
            "read": ["$SYS/#"],
            "password": "adopted",
        }
        assert any("names no acl_file" in each for each in adoption.remarks)

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
    def test_one_line_above_a_user_describes_it(self, above, description):
        acl = f"topic read x\n{above}user bob\ntopic read a\n"

        assert read(acl=acl).settings["users"]["bob"].get("description") == description
        lost = any("comments are not adopted" in each for each in remarks(acl=acl))
        assert lost == (description is None)

    @pytest.mark.parametrize("login", ["bob:hunter2", f"bob:{pbkdf2('hunter2')}", SHA512])
    def test_a_comment_that_holds_the_password_of_the_user_is_left_out(self, login):
        texts = {"acl": "# bob hunter2\nuser bob\ntopic read a\n", "passwd": f"{login}\n"}

        assert "description" not in read(**texts).settings["users"]["bob"]
        (said,) = [each for each in remarks(**texts) if "acl:2" in each]
        assert said == "mosquitto.acl:2: '': the comment above it holds a password; not adopted"

    def test_nor_that_of_another_which_stood_in_clear(self):
        texts = {
            "acl": "# not like hunter2!\nuser bob\ntopic read a\n",
            "passwd": f"bob:{HASH}\neve:hunter2\n",
        }

        assert "description" not in read(**texts).settings["users"]["bob"]

    def test_comments_that_go_are_counted(self):
        acl = "# a\n\n# Bob\nuser bob\n# c\ntopic read a\n# d\n"

        (said,) = remarks(acl=acl)
        assert said == (
            "mosquitto.acl:1: '#': comments are not adopted, but one line above a user "
            "(lines 1, 5, 7)"
        )


class TestConf:
    def test_the_reserved_listener_of_this_program_is_left_out(self):
        ours = "listener 11883 127.0.0.1\nprotocol mqtt\nmax_connections 10"
        theirs = "listener 11883 127.0.0.1\nprotocol mqtt\nmax_connections 11"

        assert broker(ours)["listeners"].keys() == {"mqtt"}
        assert "reserved listener" in remarks(conf=f"{CONF}{ours}\n")[0]
        assert broker(theirs)["listeners"].keys() == {"mqtt", "mqtt-11883"}

    def test_what_is_as_by_default_is_not_said(self):
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
        ("line", "part", "said"),
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
    def test_a_directive_is_its_setting(self, line, part, said):
        found = broker("autosave_interval 300", line)

        assert found[part] == said
        assert remarks(conf=f"{CONF}{line}\n") == []

    def test_what_mosquitto_has_otherwise_by_default_is_said(self):
        conf = CONF.replace("max_packet_size 2000000\n", "")

        assert broker(conf=conf)["limits"] == {"maxPacketSize": 268435456}
        assert broker(conf=conf)["persistence"] == {"autosaveInterval": 1800}

    @pytest.mark.parametrize(
        ("line", "part", "said"),
        [
            ("max_queued_messages 0", "limits", {"maxQueuedMessages": 10_000_000}),
            ("max_inflight_messages -1", "limits", {"maxInflightMessages": 65_535}),
            ("autosave_interval 100000", "persistence", {"autosaveInterval": 86_400}),
        ],
    )
    def test_a_figure_beyond_ours_is_the_largest_and_remarked(self, line, part, said):
        assert broker("autosave_interval 300", line)[part] == said
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

    def test_log_types_as_by_default_are_not_said(self):
        assert "logging" not in broker(
            *(f"log_type {each}" for each in ("information", "notice", "warning", "error"))
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
        assumed = {each.partition(": ")[0] for each in adoption.remarks}
        assert assumed >= {"broker.folders.data", "broker.folders.log", "broker.container"}

    @pytest.mark.parametrize(
        ("config", "data"),
        [("/srv/mqtt/config", "/srv/mqtt/data"), ("/srv/mqtt/prod", "/srv/mqtt/prod-data")],
    )
    def test_folders_that_nobody_names_are_assumed_beside_it(self, config, data):
        place = Place(address="h", config=config)
        adoption = read(conf=f"{CONF}persistence_location /mosquitto/data/\n", place=place)

        assert adoption.settings["broker"]["folders"]["data"] == data
        assert any(
            each.startswith(f"broker.folders.data: {data!r}: assumed; give --data")
            for each in adoption.remarks
        )

    def test_a_user_of_the_health_checks_name(self):
        adoption = read(passwd=f"healthcheck:{HASH}\n", acl="user healthcheck\ntopic read a\n")

        assert adoption.settings["broker"]["health"] == {"user": "healthcheck-2"}

    def test_what_says_what_is_so_anyway_is_nothing_to_remark(self):
        lines = ("allow_anonymous false", "per_listener_settings 0", "log_dest stdout")

        assert remarks(conf=CONF + "".join(f"{each}\n" for each in lines)) == []

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("allow_anonymous true", "clients without a login will be refused"),
            ("per_listener_settings true", "every listener has the same users and rules"),
            ("plugin /usr/lib/mosquitto_dynamic_security.so", "not expressed"),
            ("log_dest syslog", "not expressed"),
            ("mount_point site/", "lose their prefix"),
            ("bind_interface eth0", "bindAddress"),
            ("message_size_limit 100", "not expressed"),
        ],
    )
    def test_what_can_not_be_said_is_remarked(self, line, what):
        (said,) = remarks(conf=f"{CONF}{line}\n")

        assert said.startswith(f"mosquitto.conf:7: {line!r}: ")
        assert what in said

    @pytest.mark.parametrize(
        "directive",
        sorted({*DIRECTIVES} - {*BRIDGE} - {"connection"}),
    )
    def test_no_line_is_lost(self, directive):
        """Whatever it says, the line is quoted, or something is other than without it."""
        conf = f"{CONF}listener 1884\n"
        line = f"{directive} 77"
        try:
            adoption = read(conf=f"{conf}{line}\n")
        except AdoptionError as wrong:
            said, settings = str(wrong).split("\n"), {}
        else:
            said, settings = adoption.remarks, adoption.settings

        quoted = any(each.startswith("mosquitto.conf:8: ") for each in said)
        assert quoted or settings != read(conf=conf).settings or directive == "persistence_location"

    def test_a_bridge_is_one_remark_that_names_its_lines_and_no_password(self):
        conf = (
            f"{CONF}connection far\naddress far.example.org\ntopic # both\n"
            "remote_password hunter2\nmax_queued_messages 5\nremote_username me\n"
            "connection near\naddress near\n"
        )

        one, other = remarks(conf=conf)
        assert one.startswith(
            "mosquitto.conf:7: 'connection far': a bridge, with lines 8, 9, 10, 12, is not"
        )
        assert other.startswith("mosquitto.conf:13: 'connection near': a bridge, with line 14,")
        assert read(conf=conf).settings["broker"]["limits"] == {"maxQueuedMessages": 5}
        assert "hunter2" not in one + other

    @pytest.mark.parametrize(
        "line", ["plugin_opt_pg_password hunter2", "auth_opt_x hunter2", "plugin_opt_y"]
    )
    def test_what_an_option_of_a_plugin_says_is_not_shown(self, line):
        (said,) = remarks(conf=f"{CONF}{line}\n")

        assert said == f"mosquitto.conf:7: {line.split()[0]!r}: not expressed"

    @pytest.mark.parametrize(
        ("line", "quoted", "why"),
        [
            ("max_conections 10", "max_conections", "did you mean 'max_connections'?"),
            ("remote_password=hunter2", "remote_password", "did you mean 'remote_password'?"),
            ("max_connections 2000000", None, "from -1 to 1,000,000"),
            ("frobnicate hunter2", "frobnicate", "Mosquitto knows no such directive; take it out"),
            ("listener\t1884", "listener", "a tab stands where Mosquitto wants a space"),
            (" # comment", "#", "a comment begins in the first column"),
            ("remote_password hunter2", "remote_password", "below a 'connection' line"),
            ("max_queued_messages 5m", None, "wants a whole number"),
            ("max_connections many", None, "wants a whole number"),
            ("max_packet_size 0", None, "must be at least 20"),
            ("autosave_on_changes yes", None, "must be true or false"),
            ("log_dest file", None, "names no file"),
            ("max_queued_messages", None, "says nothing"),
            ("listener 70000", None, "wants a whole number from 0 to 65,535"),
            ("listener 1884 broker.example.org", None, "is a name; put the IP address there"),
            ("listener 1883 127.0.0.1", None, "a second listener on this port"),
            ("password_file /other", None, "merge the files into one"),
        ],
    )
    def test_a_line_that_is_refused(self, line, quoted, why):
        said = refused(conf=f"{CONF}{line}\n")[0]

        assert said.startswith(f"mosquitto.conf:7: {quoted or line!r}: ".replace("': '", "': "))
        assert why in said
        assert "hunter2" not in said

    def test_no_hash_is_shown_where_a_file_was_taken_for_another(self):
        passwd = f"bob:{HASH}\nann:{HASH}\n"
        swapped = refused(passwd="user bob\n", acl=f"{passwd}\teve:{HASH}\n")
        as_conf = refused(conf=passwd)

        assert swapped[1].startswith("mosquitto.acl:1: 'bob': Mosquitto reads no such line")
        assert as_conf[0].startswith("mosquitto.conf:1: 'bob': Mosquitto knows no such directive")
        assert "$" not in "".join((*swapped, *as_conf))

    @pytest.mark.parametrize(
        ("conf", "why"),
        [
            ("listener 1883\n", "names no password_file"),
            ("listener 1883\npassword_file /x/gone\n", "there is no 'gone' beside mosquitto.conf"),
        ],
    )
    def test_without_a_login_there_is_nothing_to_adopt(self, conf, why):
        assert why in refused(conf=conf)[0]
        assert "no login is in 'mosquitto_passwd'" in refused(passwd="\n")[0]


def unguarded(listeners):
    """Return *listeners* without the networks that are assumed."""
    return {
        name: {key: value for key, value in each.items() if key != "allowFrom"}
        for name, each in listeners.items()
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

    def test_who_may_reach_them_is_assumed_and_said(self):
        lines = (
            "listener 1883\nlistener 1884 localhost\nlistener 1885 192.168.2.3\n"
            "password_file mosquitto_passwd\nacl_file mosquitto.acl\n"
        )

        adoption = read(conf=lines)

        allowed = {
            each["port"]: each.get("allowFrom")
            for each in adoption.settings["broker"]["listeners"].values()
        }
        assert allowed == {1883: PRIVATE_NETWORKS, 1884: None, 1885: PRIVATE_NETWORKS}
        said = [each for each in adoption.remarks if "who may reach it" in each]
        assert [each.split(": ")[1] for each in said] == ["port 1883", "port 1885"]

    def test_ipv6_has_private_networks_too(self):
        (listener,) = (
            read(conf="listener 1883 ::\npassword_file mosquitto_passwd\nacl_file mosquitto.acl\n")
            .settings["broker"]["listeners"]
            .values()
        )

        assert listener["allowFrom"] == [*PRIVATE_NETWORKS, "fc00::/7"]

    def test_the_default_one_of_old_files(self):
        found, most, _ = self.listeners("port 1900\nbind_address 127.0.0.1\nmax_connections 20\n")

        assert found == {"mqtt": {"port": 1900, "bindAddress": "127.0.0.1"}}
        assert most == 20

    def test_a_limit_of_each(self):
        found, most, said = self.listeners(
            "listener 1883\nmax_connections 50\nlistener 1884\nmax_connections 20\nlistener 1885\n"
            "max_connections -1\n"
        )

        assert most == 50
        assert found["mqtt"] == {"port": 1883}
        assert found["mqtt-1884"] == {"port": 1884, "maxConnections": 20}
        assert any("listener 1885 has no max_connections" in each for each in said)

    def test_a_limit_above_them_opens_a_port_of_its_own(self):
        """Measured: 2.0.21 listens on 1883 as well, and stops where another listener has it."""
        found, most, said = self.listeners("max_connections 50\nlistener 1884\n")

        assert [each["port"] for each in found.values()] == [1883, 1884]
        assert most == 50
        assert any("Mosquitto listens on port 1883 too" in each for each in said)

    def test_a_limit_above_them_is_taken_for_the_one_on_1883(self):
        found, most, said = self.listeners("max_connections 50\nlistener 1883\n")

        assert found == {"mqtt": {"port": 1883}}
        assert most == 50
        assert any("taken for that of port 1883" in each for each in said)

    @pytest.mark.parametrize("line", ["protocol mqtt", "max_connections -1", "max_qos 2"])
    def test_what_says_nothing_above_them_opens_nothing(self, line):
        found, _, _ = self.listeners(f"{line}\nlistener 1884\n")

        assert found == {"mqtt": {"port": 1884}}

    def test_without_any_only_this_machine_is_answered(self):
        found, _, said = self.listeners("")

        assert found == {"mqtt": {"port": 1883, "bindAddress": "127.0.0.1"}}
        assert any("has no listener" in each for each in said)

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            ("listener 8883\nmax_connections 0\nprotocol mqtt\ncertfile /c\n", "is encrypted"),
            ("listener 8883\ncertfile /c\nkeyfile /k\n", "is encrypted"),
            ("listener 8883\npsk_hint x\n", "is encrypted"),
            ("listener 0 /run/mqtt.sock\n", "is a socket in the file system"),
            ("listener 8080\nprotocol http_api\n", "speaks 'http_api'"),
        ],
    )
    def test_one_that_would_be_another_is_left_out(self, lines, why):
        found, _, said = self.listeners(f"listener 1883\n{lines}")

        assert found == {"mqtt": {"port": 1883}}
        assert any(why in each and "not adopted: nobody will answer" in each for each in said)

    def test_one_is_needed_that_speaks_plain_mqtt(self):
        said = refused(conf=CONF.replace("listener 1883", "listener 8883\ncertfile /c"))

        assert "no listener speaks plain MQTT" in said[0]


class TestIncludes:
    CONF = f"{CONF}include_dir /mosquitto/config/conf.d\n"

    def test_files_are_read_in_mosquittos_order_and_named_in_remarks(self):
        adoption = read(
            conf=self.CONF,
            conf_d__B_conf="max_queued_messages 2\nmount_point x\n",
            conf_d__a_conf="max_queued_messages 1\n",
            conf_d__c_txt="max_queued_messages 3\n",
            other__d_conf="max_queued_messages 4\n",
        )

        assert adoption.settings["broker"]["limits"] == {"maxQueuedMessages": 2}
        assert any(each.startswith("conf.d/B.conf:2: 'mount_point x'") for each in adoption.remarks)

    def test_each_begins_above_all_listeners_and_leaves_the_last_as_it_was(self):
        found = read(
            conf=f"{self.CONF}bind_interface lo\nprotocol websockets\nlistener 1885\n",
            conf_d__a_conf="listener 1884\nmax_connections 7\n",
        ).settings["broker"]["listeners"]

        assert unguarded(found) == {
            "websocket": {"port": 1883, "protocol": "websockets"},
            "mqtt": {"port": 1884, "maxConnections": 7},
            "mqtt-1885": {"port": 1885},
        }

    def test_passwords_and_rules_may_be_named_there(self):
        conf = "listener 1883\ninclude_dir conf.d\n"
        named = "password_file /x/mosquitto_passwd\nacl_file /x/mosquitto.acl\n"

        assert [*read(conf=conf, conf_d__a_conf=named).hashes] == ["bob"]

    def test_an_error_names_the_file(self):
        (said,) = refused(conf=self.CONF, conf_d__a_conf="\nlisener 1\n")

        assert said.startswith("conf.d/a.conf:2: 'lisener': ")

    def test_one_that_is_empty_and_one_in_another(self):
        (said,) = remarks(conf=self.CONF)
        assert said.startswith(
            "mosquitto.conf:7: 'include_dir /mosquitto/config/conf.d': no *.conf"
        )
        (said,) = remarks(conf=self.CONF, conf_d__a_conf="include_dir /x\n")
        assert said.startswith("conf.d/a.conf:1: 'include_dir /x': Mosquitto reads no include_dir")
