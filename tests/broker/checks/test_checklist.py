"""Each point passes on what is well, fails on what is not, and knows when it can't tell."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from declared import settings_of, smallest

from broker.checks.check_result import render_page, render_text
from broker.checks.checklist import checklist
from broker.checks.observations import LET_IN, REFUSED, Observations, blocks_digest, check_calls
from broker.host.facts import HostFacts
from broker.logs.log_parser import LogSummary
from broker.logs.logrotate import logrotate_path
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import Settings

SETTINGS = settings_of("prod")
BROKER = SETTINGS.broker
NAME, CONFIG = BROKER.container, BROKER.folders.config
NOW = 1_800_000_000
PASSWD, ACL = f"{CONFIG}/mosquitto_passwd", f"{CONFIG}/mosquitto.acl"
CONF = f"{CONFIG}/mosquitto.conf"
LOG, DATABASE = f"{BROKER.folders.log}/mosquitto.log", f"{BROKER.folders.data}/mosquitto.db"
FOLDERS = (CONFIG, BROKER.folders.data, BROKER.folders.log)
BACKUPS = BROKER.backups.folder
ENV = BROKER.env_files[0].path
STARTED = datetime.fromtimestamp(NOW - 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")

HOST = {
    ("now", "-"): str(NOW),
    ("state", NAME): "running",
    ("restarts", NAME): "0",
    ("health", NAME): "healthy",
    ("started", NAME): STARTED,
    ("rules", NAME): "in-force 3",
    ("configuration", NAME): start_digest(BROKER, "image:1"),
    ("passwords", "-"): "7 0",
    ("file", PASSWD): f"600 1883 1883 {NOW - 5000} 900",
    ("file", LOG): f"644 1883 1883 {NOW - 2} 4000",
    ("file", logrotate_path(BROKER)): f"644 0 0 {NOW} 200",
    ("file", DATABASE): f"600 1883 1883 {NOW - 250} 47",
    ("blocks", ACL): blocks_digest(render_acl(SETTINGS)),
    ("blocks", CONF): blocks_digest(render_conf(BROKER)),
    ("backup", "asked"): "yes",
    ("backup", "verified"): f"{NOW - 7200} {NAME}-20270115T060000Z.tar.gz 3 1 3 8",
    ("backup", "drilled"): f"{NOW - 5 * 86_400} {NAME}-20270110T060000Z.tar.gz",
    ("there", "verified"): "yes",
    ("file", ENV): f"600 0 0 {NOW} 200",
    ("digest", ENV): "what was written",
    **{("owner", each): "1883:1883" for each in FOLDERS},
    **{("owner", each): "0:1883" for each in (CONFIG, BROKER.folders.log)},
    **{("space", each): "40000000 20000000" for each in (*FOLDERS[1:], BACKUPS)},
}
ANSWERS = dict.fromkeys(BROKER.listeners, LET_IN)
NOT_AUTHORISED = f"{REFUSED}: not authorized"


def came(client="ctl-1"):
    """A log in which a controller was let in."""
    return LogSummary().read(
        [
            "2026-01-02T03:04:05: New client connected from 192.168.3.7:1 "
            f"as {client} (p2, c1, k60, u'paragon_devices')."
        ]
    )


def sight(host=(), **more):
    known = {
        "image": "image:1",
        "answers": ANSWERS,
        "anonymous": dict.fromkeys(BROKER.listeners, NOT_AUTHORISED),
        "logins": dict.fromkeys(SETTINGS.users, LET_IN),
        "here": "192.168.2.50",
        "ages": {"admin": 3, "paragon_devices": 12},
        "env": {ENV: "what was written"},
        "log": came(),
    }
    return Observations(host=HostFacts(facts={**HOST, **dict(host)}), **{**known, **more})


def verdicts(seen, settings=SETTINGS):
    return {each.name: each for each in checklist(settings, "prod", seen)}


def test_all_is_well():
    found = verdicts(sight())

    assert {name for name, each in found.items() if each.verdict != "pass"} == {
        "rotation",
        "denied messages",
    }
    assert len(found) == 22


@pytest.mark.parametrize(
    ("host", "more", "point", "said"),
    [
        ({("state", NAME): "exited"}, {}, "container", "exited"),
        ({("health", NAME): "unhealthy"}, {}, "health", "unhealthy"),
        ({}, {"answers": ANSWERS | {"mqtt": "no answer: refused"}}, "ports", "no answer: refused"),
        (
            {},
            {"anonymous": {"mqtt": LET_IN, "websocket": NOT_AUTHORISED}},
            "anonymous",
            "mqtt: let",
        ),
        ({}, {"guessed": {"mqtt": LET_IN}}, "anonymous", "mqtt, a wrong password: let in"),
        ({("passwords", "-"): "7 1"}, {}, "password hashes", "1 lines of another kind"),
        ({("passwords", "-"): "0 0"}, {}, "password hashes", "0 logins"),
        ({("passwords", "-"): "99 0"}, {}, "password hashes", "99 logins with a hash, 7 are decl"),
        ({("owner", CONFIG): "0:0"}, {}, "password hashes", "the folder belongs to 0:0"),
        # As version 0.1 made it: the broker's user could put other files in place of its own.
        ({("owner", CONFIG): "1883:1883"}, {}, "password hashes", "belongs to 1883:1883"),
        ({("digest", ENV): "another"}, {}, "env files", "MQTT_URL or another line is not"),
        ({("file", ENV): "absent"}, {}, "env files", f"{ENV}: absent"),
        ({("file", ENV): f"644 0 0 {NOW} 9"}, {}, "env files", "mode 644"),
        ({("owner", BROKER.folders.log): "0:0"}, {}, "log", "the folder belongs to 0:0"),
        ({("file", LOG): f"644 0 0 {NOW - 2} 4000"}, {}, "log", "owner 0:0"),
        ({("owner", BROKER.folders.data): "0:0"}, {}, "persistence", "the folder belongs to 0:0"),
        ({("owner", BROKER.folders.data): "absent"}, {}, "persistence", "the folder is absent"),
        # Less than three databases of 47 bytes; less than a twentieth and than a GiB.
        ({("space", BACKUPS): "40000000 0"}, {}, "room", f"{BACKUPS}: 0 of 39,062 MiB are free"),
        ({("space", BROKER.folders.log): "2000000 90000"}, {}, "room", "87 of 1,953 MiB are free"),
        (
            {("file", DATABASE): f"600 1883 1883 {NOW} 9000000000"},
            {},
            "room",
            "19,531 of 39,062 MiB are free",
        ),
        ({("backup", "verified"): "17"}, {}, "backups", ".verified-mosquitto-shared is garbled"),
        ({("backup", "verified"): "soon x 1"}, {}, "backups", "is garbled"),
        (
            {
                ("backup", "verified"): f"{NOW - 60} x 0 2 0 8",
                ("backup", "filled"): f"{NOW - 90_000} full 7 1 3 8",
                ("there", "filled"): "yes",
            },
            {},
            "backups",
            f"it holds no retained message, and {BACKUPS}/full held 7",
        ),
        ({("file", PASSWD): f"644 1883 1883 {NOW} 9"}, {}, "password hashes", "mode 644"),
        ({("file", PASSWD): f"600 0 0 {NOW} 9"}, {}, "password hashes", "owner 0:0"),
        ({("file", PASSWD): "absent"}, {}, "password hashes", "absent"),
        ({("blocks", ACL): "another"}, {}, "access rules", "is another one"),
        ({("blocks", CONF): "another"}, {}, "drift", "mosquitto.conf is another one"),
        (
            {("backup", "verified"): f"{NOW - 100_000} x 1 1 1 1"},
            {},
            "backups",
            "made 27 hours ago",
        ),
        ({("there", "verified"): ""}, {}, "backups", "GONE"),
        (
            {("backup", "verified"): "", ("started", NAME): "2026-01-01T00:00:00Z"},
            {},
            "backups",
            "none in /opt/sentient/backups/mqtt yet",
        ),
        ({("configuration", NAME): "another"}, {}, "drift", "made from other settings"),
        ({}, {"logins": {"admin": NOT_AUTHORISED}}, "logins", "admin: refused: not authorized"),
        ({}, {"logins": {"paragon_devices": NOT_AUTHORISED}}, "controllers", "paragon_devices"),
        ({("rules", NAME): "missing 3"}, {}, "firewall", "missing"),
        ({("rules", NAME): "changed 3"}, {}, "controllers", "192.168.0.0/16"),
        ({("file", LOG): f"644 1883 1883 {NOW - 999} 4000"}, {}, "log", "written 999 seconds ago"),
        ({("file", LOG): f"644 1883 1883 {NOW} 0"}, {}, "log", "0 bytes"),
        ({("file", LOG): "absent"}, {}, "log", "absent"),
        ({("file", DATABASE): f"600 1883 1883 {NOW - 700} 47"}, {}, "persistence", "700 seconds"),
        ({("file", DATABASE): f"600 1883 1883 {NOW} 0"}, {}, "persistence", "0 bytes"),
        ({("file", DATABASE): f"600 0 0 {NOW} 47"}, {}, "persistence", "owner 0:0"),
        ({("file", DATABASE): "absent"}, {}, "persistence", "absent"),
    ],
)
def test_what_is_wrong_fails_says_what_was_seen_and_what_mends_it(host, more, point, said):
    found = verdicts(sight(host, **more))[point]

    assert found.verdict == "fail"
    assert said in found.seen
    assert found.mend
    assert found.mend in render_text(list(verdicts(sight(host, **more)).values()))


REWRITE = "broker.health.generation: another one than '1' in the stack file, then ./brokerctl up"


@pytest.mark.parametrize(
    ("host", "point", "mend"),
    [
        (
            {("state", NAME): "exited"},
            "container",
            "./brokerctl restart --stack prod; why it ended",
        ),
        ({("state", NAME): "absent"}, "container", "pulumi up --refresh --stack prod"),
        # A start would fail again.
        (
            {("state", NAME): "restarting", ("blocks", CONF): "another"},
            "container",
            f"mosquitto.conf first. {REWRITE}",
        ),
        # An up doesn't see what was edited on the host.
        ({("blocks", CONF): "another"}, "drift", REWRITE),
        ({("blocks", ACL): "another"}, "access rules", REWRITE),
        ({("file", PASSWD): f"600 0 0 {NOW} 9"}, "password hashes", REWRITE),
        (
            {("configuration", NAME): "another"},
            "drift",
            "./brokerctl up --stack prod: every client is",
        ),
        (
            {("file", DATABASE): f"600 0 0 {NOW} 47"},
            "persistence",
            f"chown -Rh 1883:1883 {BROKER.folders.data}, then ./brokerctl restart --stack prod",
        ),
        (
            {("file", LOG): "absent"},
            "log",
            "./brokerctl restart --stack prod",
        ),
    ],
)
def test_the_command_is_one_that_mends_it(host, point, mend):
    assert mend in verdicts(sight(host))[point].mend


def test_the_log_is_looked_for_under_the_name_that_is_declared():
    named = settings(logging={"file": "broker.log"})
    words = [each.words for each in check_calls(named)]

    assert ("file", "/srv/mqtt/log/broker.log") in words
    assert verdicts(sight(), named)["log"].seen == "/srv/mqtt/log/broker.log: not asked"


@pytest.mark.parametrize("database", [f"600 1883 1883 {NOW - 80_000} 47", "absent"])
def test_where_changes_are_counted_a_quiet_broker_is_not_late(database):
    counting = settings(persistence={"autosaveInterval": 5, "autosaveOnChanges": True})
    timed = settings(persistence={"autosaveInterval": 5})
    host = {
        ("file", "/srv/mqtt/data/mosquitto.db"): database,
        ("started", "mosquitto-test"): STARTED,
    }

    assert verdicts(sight(host), counting)["persistence"].verdict != "fail"
    assert "every 5 changes" in verdicts(sight(host), counting)["persistence"].seen
    assert verdicts(sight(host), timed)["persistence"].verdict == "fail"


@pytest.mark.parametrize(
    ("host", "more", "point"),
    [
        ({("health", NAME): "starting"}, {}, "health"),
        ({("state", NAME): ""}, {}, "container"),
        # A machine that no list names can't tell whether those who are named get in.
        ({}, {"answers": ANSWERS | {"mqtt": "no answer"}, "here": "10.9.0.1"}, "ports"),
        ({}, {"anonymous": dict.fromkeys(ANSWERS, "no answer")}, "anonymous"),
        ({}, {"logins": {"admin": "no answer"}}, "logins"),
        # A login that is not root sees neither files nor rules.
        ({("file", PASSWD): "", ("passwords", "-"): ""}, {}, "password hashes"),
        ({("blocks", ACL): ""}, {}, "access rules"),
        ({("rules", NAME): ""}, {}, "firewall"),
        ({("file", LOG): ""}, {}, "log"),
        ({("file", DATABASE): ""}, {}, "persistence"),
        # Up for a minute: the first autosave is yet to come.
        ({("file", DATABASE): "absent", ("now", "-"): str(NOW - 86_340)}, {}, "persistence"),
        ({("blocks", CONF): ""}, {}, "drift"),
        ({("digest", ENV): "", ("file", ENV): ""}, {}, "env files"),
        ({}, {"env": {}}, "env files"),
        ({("space", BROKER.folders.data): ""}, {}, "room"),
        # A list of networks lets nobody in; nor does the check's own login tell that one came.
        ({}, {"log": LogSummary()}, "controllers"),
        ({}, {"log": None}, "controllers"),
        ({}, {"log": came("check-0123456789abcdef")}, "controllers"),
    ],
)
def test_what_nobody_can_tell_from_here_is_unknown(host, more, point):
    found = verdicts(sight(host, **more))

    assert found[point].verdict == "unknown"
    assert not found[point].mend or found[point].mend in render_text(list(found.values()))


def settings(users=None, **broker):
    raw = smallest(**broker)
    raw["users"] = users or {"sensor": {"write": ["a/#"]}}
    return Settings.parse(raw)


def test_the_practices_are_judged_from_the_stack_file():
    weak = settings(
        users={"a": {"write": ["a/#"], "password": "adopted"}, "b": {}},
        listeners={"mqtt": {"port": 1883, "allowFrom": ["8.8.8.0/24"]}},
        logging={"types": ["error"]},
    )
    found = verdicts(sight(), weak)

    assert {name: found[name].verdict for name in ("strong passwords", "internal network")} == {
        "strong passwords": "unknown",
        "internal network": "fail",
    }
    assert found["watched log"].verdict == "fail"
    assert "without any rule: b" in found["access rules"].seen
    assert found["least rights"].verdict == "fail"


@pytest.mark.parametrize(
    ("most", "verdict", "said"),
    [
        (90, "pass", "the oldest, sensor's, is 12 days old; 90 days are allowed"),
        (2, "fail", "The password of sensor is 12 days old"),
        (None, "unknown", "is 12 days old; no passwords.maxAgeDays is declared"),
    ],
)
def test_rotation_is_a_matter_of_the_age_that_is_allowed(most, verdict, said):
    aged = settings(passwords={"maxAgeDays": most} if most else {})
    found = verdicts(sight(ages={"sensor": 12}), aged)["rotation"]
    assert found.verdict == verdict
    assert said in found.seen


def test_a_listener_for_anybody_is_no_pass():
    opened = settings(listeners={"mqtt": {"port": 1883}})
    assert verdicts(sight(), opened)["firewall"].verdict == "fail"
    found = verdicts(sight(), opened)["internal network"]
    assert (found.verdict, found.seen) == ("fail", "mqtt: anybody")
    unguarded = settings(firewall={"backend": "none"})
    assert verdicts(sight(), unguarded)["internal network"].verdict == "fail"
    local = settings(listeners={"mqtt": {"port": 1883, "bindAddress": "127.0.0.1"}})
    assert verdicts(sight(), local)["internal network"].verdict == "pass"
    assert verdicts(sight(), local)["firewall"].verdict == "pass"


def test_the_order_of_blocks_is_no_difference_and_that_of_lines_is():
    assert blocks_digest("a\nb\n\nc\n") == blocks_digest("c\n\na\nb\n")
    assert blocks_digest("a\nb\n\nc\n") != blocks_digest("b\na\n\nc\n")


def test_as_data_and_as_a_page_it_says_the_same():
    points = list(verdicts(sight({("state", NAME): "exited | gone"})).values())
    data = json.loads(json.dumps([each.as_data() for each in points]))
    page = render_page(points)

    assert [each["verdict"] for each in data] == [each.verdict for each in points]
    assert page.count("\n| pass |") + page.count("\n| unknown |") == len(points) - 1
    assert "exited \\| gone" in page
    assert all(not each["mend"] for each in data if each["verdict"] == "pass")


def test_a_broker_of_today_needs_no_backup_yet_and_one_by_hand_promises_none():
    none = sight({("backup", "verified"): ""})
    assert verdicts(none)["backups"].verdict == "pass"
    by_hand = BROKER.backups.model_copy(update={"schedule": None})
    broker = BROKER.model_copy(update={"backups": by_hand})
    settings = SETTINGS.model_copy(update={"broker": broker})
    assert verdicts(none, settings)["backups"].verdict == "unknown"
    old = sight({("backup", "verified"): "1 x 1 1 1 1"})
    assert verdicts(old, settings)["backups"].verdict == "pass"
    assert verdicts(sight())["backups"].seen.endswith("(./brokerctl backup verify): 5 days ago")
    assert verdicts(sight({("backup", "asked"): ""}))["backups"].verdict == "unknown"


class TestArchivesThatAreEncrypted:
    @pytest.fixture
    def point(self):
        sealed = BROKER.backups.model_copy(update={"recipient": "age1" + "q" * 58})
        broker = BROKER.model_copy(update={"backups": sealed})
        encrypted = SETTINGS.model_copy(update={"broker": broker})
        return lambda host: verdicts(sight(host), encrypted)["backups"]

    def test_they_are_unknown_until_somebody_has_opened_one(self, point):
        found = point({})
        assert found.verdict == "unknown"
        assert "./brokerctl backup verify --stack prod --identity FILE" in found.mend
        opened = {("backup", "drilled"): f"{NOW - 60} {NAME}-20270115T060000Z.tar.gz.age"}
        assert point(opened).verdict == "pass"

    def test_what_is_wrong_is_wrong_all_the_same(self, point):
        assert point({("there", "verified"): ""}).verdict == "fail"


def test_an_archive_that_lost_its_messages_is_let_be_where_the_one_before_it_is_gone():
    host = {
        ("backup", "verified"): f"{NOW - 60} x 0 2 0 8",
        ("backup", "filled"): f"{NOW - 90_000} full 7 1 3 8",
    }
    assert verdicts(sight(host))["backups"].verdict == "pass"
    there = {**host, ("there", "filled"): "yes"}
    assert (
        f"./brokerctl backup restore {BACKUPS}/full --stack prod"
        in verdicts(sight(there))["backups"].mend
    )
    same = {**there, ("backup", "verified"): f"{NOW - 60} full 7 2 0 8"}
    assert verdicts(sight(same))["backups"].verdict == "pass"


class TestCertificates:
    @pytest.fixture
    def point(self):
        encrypted = settings(
            listeners={
                "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
                "mqtts": {"port": 8883, "allowFrom": ["192.168.0.0/16"], "tls": {}},
            }
        )
        return lambda host, ends: verdicts(sight(host, ends=ends), encrypted)["certificates"]

    LATER = {"mqtts": "2027-11-04T10:15:55Z"}  # noqa: RUF012 (a case)

    def test_one_that_is_served_for_long_passes_and_its_end_is_said(self, point):
        found = point({("certificate", "mqtts"): "ok"}, self.LATER)
        assert (found.verdict, found.seen) == ("pass", "mqtts: ends 2027-11-04T10:15:55Z")

    @pytest.mark.parametrize(
        ("host", "ends"),
        [
            ({("certificate", "mqtts"): "due it ends Jan 20"}, LATER),
            ({("certificate", "mqtts"): "ok", ("ends", "mqtts"): "Jan 20"}, LATER),
            ({("certificate", "mqtts"): "ok", ("clientca", "mqtts"): "wrong clientCa x"}, LATER),
            ({("certificate", "mqtts"): "ok"}, {"mqtts": "2026-11-04T10:15:55Z"}),
        ],
    )
    def test_one_that_ends_fails(self, point, host, ends):
        found = point(host, ends)
        assert found.verdict == "fail"
        assert "./brokerctl up --stack prod" in found.mend

    def test_one_that_nobody_could_look_at_is_unknown(self, point):
        assert point({}, self.LATER).verdict == "unknown"
        assert point({("certificate", "mqtts"): "ok"}, {}).verdict == "unknown"


def test_denied_messages_fail_above_their_limit_where_they_are_logged():
    talkative = settings(logging={"types": ["notice", "debug"], "deniedPerHour": 2})

    def denials(times):
        line = "2026-01-02T03:04:05: Denied PUBLISH from c (d0, q1, r0, m1, 'x', ... (1 bytes))"
        return sight(log=LogSummary().read([line] * times))

    found = [verdicts(denials(each), talkative)["denied messages"] for each in (2, 3)]
    assert [each.verdict for each in found] == ["pass", "fail"]
    assert found[1].seen == "3 in the last hour"
    assert "./brokerctl refused --stack prod" in found[1].mend
    silent = verdicts(denials(3), settings(logging={"deniedPerHour": 2}))["denied messages"]
    assert (silent.verdict, silent.seen) == ("unknown", "not logged")
    assert verdicts(sight(log=None), talkative)["denied messages"].verdict == "unknown"


def refusals(times, address="192.0.2.7"):
    minute = "2026-01-02T03:04"
    return LogSummary().read(
        f"{minute}:00: Client guess [{address}:{4000 + each}] disconnected: not authorised."
        for each in range(times)
    )


def test_refused_logins_fail_above_the_limit_and_the_worst_address_is_named():
    most = BROKER.logging.refused_per_hour
    few = verdicts(sight(log=refusals(most)))["refused logins"]
    many = verdicts(sight(log=refusals(most + 1)))["refused logins"]

    assert (few.verdict, many.verdict) == ("pass", "fail")
    assert many.seen == f"{most + 1} in the last hour, {most + 1} from 192.0.2.7"
    assert "./brokerctl refused --stack prod" in many.mend


def test_refused_logins_are_unknown_where_the_log_was_not_read_or_does_not_hold_them():
    assert verdicts(sight(log=None))["refused logins"].verdict == "unknown"
    quiet = smallest(logging={"types": ["error"]})
    assert verdicts(sight(), Settings.parse(quiet))["refused logins"].verdict == "unknown"


def test_the_log_says_whether_it_is_rotated():
    path = logrotate_path(BROKER)
    assert "logrotate keeps 14 older ones" in verdicts(sight())["log"].seen
    found = verdicts(sight({("file", path): "absent"}))["log"]
    assert found.verdict == "pass"
    assert f"no {path}" in found.seen
