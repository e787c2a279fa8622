"""Every check passes, fails, or is unknown if its facts are missing."""

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
    ("rules", NAME): "in-force",
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
    **{("owner", path): "1883:1883" for path in FOLDERS},
    **{("owner", path): "0:1883" for path in (CONFIG, BROKER.folders.log)},
    **{("space", path): "40000000 20000000" for path in (*FOLDERS[1:], BACKUPS)},
}
ANSWERS = dict.fromkeys(BROKER.listeners, LET_IN)
NOT_AUTHORISED = f"{REFUSED}: not authorized"


def controller_log(client="ctl-1"):
    """A log with a login of a controller."""
    return LogSummary().read(
        [
            "2026-01-02T03:04:05: New client connected from 192.168.3.7:1 "
            f"as {client} (p2, c1, k60, u'paragon_devices')."
        ]
    )


def observations(host=(), **more):
    known = {
        "image": "image:1",
        "answers": ANSWERS,
        "anonymous": dict.fromkeys(BROKER.listeners, NOT_AUTHORISED),
        "logins": dict.fromkeys(SETTINGS.users, LET_IN),
        "here": "192.168.2.50",
        "ages": {"admin": 3, "paragon_devices": 12},
        "env": {ENV: "what was written"},
        "log": controller_log(),
    }
    return Observations(host=HostFacts(facts={**HOST, **dict(host)}), **{**known, **more})


def results(observed, settings=SETTINGS):
    return {result.name: result for result in checklist(settings, "prod", observed)}


def test_healthy_broker_passes():
    found = results(observations())

    assert {name for name, result in found.items() if result.status != "pass"} == {
        "rotation",
        "denied messages",
    }
    assert len(found) == 22


@pytest.mark.parametrize(
    ("host", "more", "name", "message"),
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
        ({("passwords", "-"): "7 1"}, {}, "password hashes", "1 other lines"),
        ({("passwords", "-"): "0 0"}, {}, "password hashes", "0 logins"),
        ({("passwords", "-"): "99 0"}, {}, "password hashes", "99 logins with a hash, 7 are decl"),
        ({("owner", CONFIG): "0:0"}, {}, "password hashes", "the folder belongs to 0:0"),
        # The owner in version 0.1, with which the broker's user could replace the files.
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
        (
            {("backup", "verified"): "17"},
            {},
            "backups",
            ".verified-mosquitto-shared is not readable",
        ),
        ({("backup", "verified"): "soon x 1"}, {}, "backups", "is not readable"),
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
        ({("blocks", ACL): "another"}, {}, "access rules", "is not the declared one"),
        ({("blocks", CONF): "another"}, {}, "drift", "mosquitto.conf is not the declared one"),
        (
            {("backup", "verified"): f"{NOW - 100_000} x 1 1 1 1"},
            {},
            "backups",
            "made 27 hours ago",
        ),
        ({("there", "verified"): ""}, {}, "backups", "MISSING"),
        (
            {("backup", "verified"): "", ("started", NAME): "2026-01-01T00:00:00Z"},
            {},
            "backups",
            "none in /opt/sentient/backups/mqtt yet",
        ),
        ({("configuration", NAME): "another"}, {}, "drift", "created from other settings"),
        ({}, {"logins": {"admin": NOT_AUTHORISED}}, "logins", "admin: refused: not authorized"),
        ({}, {"logins": {"paragon_devices": NOT_AUTHORISED}}, "controllers", "paragon_devices"),
        ({("rules", NAME): "missing"}, {}, "firewall", "missing"),
        ({("rules", NAME): "changed"}, {}, "controllers", "192.168.0.0/16"),
        ({("file", LOG): f"644 1883 1883 {NOW - 999} 4000"}, {}, "log", "written 999 seconds ago"),
        ({("file", LOG): f"644 1883 1883 {NOW} 0"}, {}, "log", "0 bytes"),
        ({("file", LOG): "absent"}, {}, "log", "absent"),
        ({("file", DATABASE): f"600 1883 1883 {NOW - 700} 47"}, {}, "persistence", "700 seconds"),
        ({("file", DATABASE): f"600 1883 1883 {NOW} 0"}, {}, "persistence", "0 bytes"),
        ({("file", DATABASE): f"600 0 0 {NOW} 47"}, {}, "persistence", "owner 0:0"),
        ({("file", DATABASE): "absent"}, {}, "persistence", "absent"),
    ],
)
def test_failed_check_has_an_observation_and_a_fix(host, more, name, message):
    found = results(observations(host, **more))[name]

    assert found.status == "fail"
    assert message in found.observed
    assert found.fix
    assert found.fix in render_text(list(results(observations(host, **more)).values()))


REPAIR = "./brokerctl up --stack prod"


@pytest.mark.parametrize(
    ("host", "name", "fix"),
    [
        (
            {("state", NAME): "exited"},
            "container",
            "./brokerctl restart --stack prod; why it stopped",
        ),
        ({("state", NAME): "absent"}, "container", f"{REPAIR}; then, if it still does not"),
        # Another start would fail, too.
        (
            {("state", NAME): "restarting", ("blocks", CONF): "another"},
            "container",
            f"{REPAIR}; then, if it still does not run",
        ),
        ({("blocks", CONF): "another"}, "drift", REPAIR),
        ({("blocks", ACL): "another"}, "access rules", REPAIR),
        ({("file", PASSWD): f"600 0 0 {NOW} 9"}, "password hashes", REPAIR),
        (
            {("configuration", NAME): "another"},
            "drift",
            "./brokerctl preview --stack prod shows whom a repair disconnects; then",
        ),
        ({("differs", f"configuration:{ACL}"): "was emptied (...)"}, "drift", REPAIR),
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
def test_fix_names_the_right_command(host, name, fix):
    assert fix in results(observations(host))[name].fix


def test_log_check_uses_the_declared_file_name():
    named = settings(logging={"file": "broker.log"})
    words = [call.words for call in check_calls(named)]

    assert ("file", "/srv/mqtt/log/broker.log") in words
    assert results(observations(), named)["log"].observed == "/srv/mqtt/log/broker.log: not asked"


@pytest.mark.parametrize("database", [f"600 1883 1883 {NOW - 80_000} 47", "absent"])
def test_idle_broker_is_not_late_with_autosave_on_changes(database):
    counting = settings(persistence={"autosaveInterval": 5, "autosaveOnChanges": True})
    timed = settings(persistence={"autosaveInterval": 5})
    host = {
        ("file", "/srv/mqtt/data/mosquitto.db"): database,
        ("started", "mosquitto-test"): STARTED,
    }

    assert results(observations(host), counting)["persistence"].status != "fail"
    assert "every 5 changes" in results(observations(host), counting)["persistence"].observed
    assert results(observations(host), timed)["persistence"].status == "fail"


@pytest.mark.parametrize(
    ("host", "more", "name"),
    [
        ({("health", NAME): "starting"}, {}, "health"),
        ({("state", NAME): ""}, {}, "container"),
        # A machine outside of allowFrom can't test whether the allowed ones can connect.
        ({}, {"answers": ANSWERS | {"mqtt": "no answer"}, "here": "10.9.0.1"}, "ports"),
        ({}, {"anonymous": dict.fromkeys(ANSWERS, "no answer")}, "anonymous"),
        ({}, {"logins": {"admin": "no answer"}}, "logins"),
        # A login that is not root can read neither files nor rules.
        ({("file", PASSWD): "", ("passwords", "-"): ""}, {}, "password hashes"),
        ({("blocks", ACL): ""}, {}, "access rules"),
        ({("rules", NAME): ""}, {}, "firewall"),
        ({("file", LOG): ""}, {}, "log"),
        ({("file", DATABASE): ""}, {}, "persistence"),
        # Running for a minute, before the first autosave.
        ({("file", DATABASE): "absent", ("now", "-"): str(NOW - 86_340)}, {}, "persistence"),
        ({("blocks", CONF): ""}, {}, "drift"),
        ({("digest", ENV): "", ("file", ENV): ""}, {}, "env files"),
        ({}, {"env": {}}, "env files"),
        ({("space", BROKER.folders.data): ""}, {}, "room"),
        # Neither allowFrom nor a login of the check proves that a controller has connected.
        ({}, {"log": LogSummary()}, "controllers"),
        ({}, {"log": None}, "controllers"),
        ({}, {"log": controller_log("check-0123456789abcdef")}, "controllers"),
    ],
)
def test_check_without_facts_is_unknown(host, more, name):
    found = results(observations(host, **more))

    assert found[name].status == "unknown"
    assert not found[name].fix or found[name].fix in render_text(list(found.values()))


def settings(users=None, **broker):
    raw = smallest(**broker)
    raw["users"] = users or {"sensor": {"write": ["a/#"]}}
    return Settings.parse(raw)


def test_security_practices_follow_from_the_stack_file():
    weak = settings(
        users={"a": {"write": ["a/#"], "password": "adopted"}, "b": {}},
        listeners={"mqtt": {"port": 1883, "allowFrom": ["8.8.8.0/24"]}},
        logging={"types": ["error"]},
    )
    found = results(observations(), weak)

    assert {name: found[name].status for name in ("strong passwords", "internal network")} == {
        "strong passwords": "unknown",
        "internal network": "fail",
    }
    assert found["watched log"].status == "fail"
    assert "without any rule: b" in found["access rules"].observed
    assert found["least rights"].status == "fail"


@pytest.mark.parametrize(
    ("limit", "status", "message"),
    [
        (90, "pass", "the oldest, sensor's, is 12 days old; 90 days are allowed"),
        (2, "fail", "The password of sensor is 12 days old"),
        (None, "unknown", "is 12 days old; no passwords.maxAgeDays is declared"),
    ],
)
def test_rotation_check_compares_the_age_with_the_limit(limit, status, message):
    aged = settings(passwords={"maxAgeDays": limit} if limit else {})
    found = results(observations(ages={"sensor": 12}), aged)["rotation"]
    assert found.status == status
    assert message in found.observed


def test_open_listener_fails():
    opened = settings(listeners={"mqtt": {"port": 1883}})
    assert results(observations(), opened)["firewall"].status == "fail"
    found = results(observations(), opened)["internal network"]
    assert (found.status, found.observed) == ("fail", "mqtt: anybody")
    unguarded = settings(firewall={"backend": "none"})
    assert results(observations(), unguarded)["internal network"].status == "fail"
    local = settings(listeners={"mqtt": {"port": 1883, "bindAddress": "127.0.0.1"}})
    assert results(observations(), local)["internal network"].status == "pass"
    assert results(observations(), local)["firewall"].status == "pass"


def test_digest_ignores_the_order_of_blocks_but_not_of_lines():
    assert blocks_digest("a\nb\n\nc\n") == blocks_digest("c\n\na\nb\n")
    assert blocks_digest("a\nb\n\nc\n") != blocks_digest("b\na\n\nc\n")


def test_data_and_page_contain_the_same_results():
    found = list(results(observations({("state", NAME): "exited | gone"})).values())
    data = json.loads(json.dumps([result.as_data() for result in found]))
    page = render_page(found)

    assert [row["verdict"] for row in data] == [result.status for result in found]
    assert page.count("\n| pass |") + page.count("\n| unknown |") == len(found) - 1
    assert "exited \\| gone" in page
    assert all(not row["mend"] for row in data if row["verdict"] == "pass")


def test_backups_of_a_new_broker_and_without_a_schedule():
    none = observations({("backup", "verified"): ""})
    assert results(none)["backups"].status == "pass"
    by_hand = BROKER.backups.model_copy(update={"schedule": None})
    broker = BROKER.model_copy(update={"backups": by_hand})
    settings = SETTINGS.model_copy(update={"broker": broker})
    assert results(none, settings)["backups"].status == "unknown"
    old = observations({("backup", "verified"): "1 x 1 1 1 1"})
    assert results(old, settings)["backups"].status == "pass"
    assert results(observations())["backups"].observed.endswith(
        "(./brokerctl backup verify): 5 days ago"
    )
    assert results(observations({("backup", "asked"): ""}))["backups"].status == "unknown"


class TestEncryptedArchives:
    @pytest.fixture
    def backups_result(self):
        sealed = BROKER.backups.model_copy(update={"recipient": "age1" + "q" * 58})
        broker = BROKER.model_copy(update={"backups": sealed})
        encrypted = SETTINGS.model_copy(update={"broker": broker})
        return lambda host: results(observations(host), encrypted)["backups"]

    def test_unknown_until_an_archive_was_decrypted(self, backups_result):
        found = backups_result({})
        assert found.status == "unknown"
        assert "./brokerctl backup verify --stack prod --identity FILE" in found.fix
        opened = {("backup", "drilled"): f"{NOW - 60} {NAME}-20270115T060000Z.tar.gz.age"}
        assert backups_result(opened).status == "pass"

    def test_missing_archive_fails(self, backups_result):
        assert backups_result({("there", "verified"): ""}).status == "fail"


def test_empty_archive_fails_only_while_a_full_one_exists():
    host = {
        ("backup", "verified"): f"{NOW - 60} x 0 2 0 8",
        ("backup", "filled"): f"{NOW - 90_000} full 7 1 3 8",
    }
    assert results(observations(host))["backups"].status == "pass"
    there = {**host, ("there", "filled"): "yes"}
    assert (
        f"./brokerctl backup restore {BACKUPS}/full --stack prod"
        in results(observations(there))["backups"].fix
    )
    same = {**there, ("backup", "verified"): f"{NOW - 60} full 7 2 0 8"}
    assert results(observations(same))["backups"].status == "pass"


class TestCertificates:
    @pytest.fixture
    def certificates_result(self):
        encrypted = settings(
            listeners={
                "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
                "mqtts": {"port": 8883, "allowFrom": ["192.168.0.0/16"], "tls": {}},
            }
        )
        return lambda host, ends: results(observations(host, ends=ends), encrypted)["certificates"]

    LATER = {"mqtts": "2027-11-04T10:15:55Z"}  # noqa: RUF012 (a case)

    def test_valid_certificate_passes_with_its_expiry(self, certificates_result):
        found = certificates_result({("certificate", "mqtts"): "ok"}, self.LATER)
        assert (found.status, found.observed) == ("pass", "mqtts: expires 2027-11-04T10:15:55Z")

    @pytest.mark.parametrize(
        ("host", "ends"),
        [
            ({("certificate", "mqtts"): "due it ends Jan 20"}, LATER),
            ({("certificate", "mqtts"): "ok", ("ends", "mqtts"): "Jan 20"}, LATER),
            ({("certificate", "mqtts"): "ok", ("clientca", "mqtts"): "wrong clientCa x"}, LATER),
            ({("certificate", "mqtts"): "ok"}, {"mqtts": "2026-11-04T10:15:55Z"}),
        ],
    )
    def test_expiring_or_wrong_certificate_fails(self, certificates_result, host, ends):
        found = certificates_result(host, ends)
        assert found.status == "fail"
        assert "./brokerctl up --stack prod" in found.fix

    def test_unchecked_certificate_is_unknown(self, certificates_result):
        assert certificates_result({}, self.LATER).status == "unknown"
        assert certificates_result({("certificate", "mqtts"): "ok"}, {}).status == "unknown"


def test_denied_messages_fail_above_the_limit_if_logged():
    talkative = settings(logging={"types": ["notice", "debug"], "deniedPerHour": 2})

    def denials(times):
        line = "2026-01-02T03:04:05: Denied PUBLISH from c (d0, q1, r0, m1, 'x', ... (1 bytes))"
        return observations(log=LogSummary().read([line] * times))

    found = [results(denials(times), talkative)["denied messages"] for times in (2, 3)]
    assert [result.status for result in found] == ["pass", "fail"]
    assert found[1].observed == "3 in the last hour"
    assert "./brokerctl refused --stack prod" in found[1].fix
    silent = results(denials(3), settings(logging={"deniedPerHour": 2}))["denied messages"]
    assert (silent.status, silent.observed) == ("unknown", "not logged")
    assert results(observations(log=None), talkative)["denied messages"].status == "unknown"


def refused_logins(times, address="192.0.2.7"):
    minute = "2026-01-02T03:04"
    return LogSummary().read(
        f"{minute}:00: Client guess [{address}:{4000 + port}] disconnected: not authorised."
        for port in range(times)
    )


def test_refused_logins_fail_above_the_limit_and_name_the_worst_address():
    limit = BROKER.logging.refused_per_hour
    few = results(observations(log=refused_logins(limit)))["refused logins"]
    many = results(observations(log=refused_logins(limit + 1)))["refused logins"]

    assert (few.status, many.status) == ("pass", "fail")
    assert many.observed == f"{limit + 1} in the last hour, {limit + 1} from 192.0.2.7"
    assert "./brokerctl refused --stack prod" in many.fix


def test_refused_logins_are_unknown_without_log_lines():
    assert results(observations(log=None))["refused logins"].status == "unknown"
    quiet = smallest(logging={"types": ["error"]})
    assert results(observations(), Settings.parse(quiet))["refused logins"].status == "unknown"


@pytest.mark.parametrize(
    ("name", "types"), [("refused logins", {}), ("denied messages", {"types": ["notice", "debug"]})]
)
def test_a_log_that_is_too_large_to_read_is_no_pass(name, types):
    """A flood of connections can push refused logins out of what is read."""
    hour = datetime(2026, 1, 2, 3, tzinfo=UTC)
    line = "2026-01-02T03:30:00: New connection from 192.0.2.7:4000 on port 1883."

    def found(*lines, since=hour):
        log = LogSummary(since=since).read(lines)
        return results(observations(log=log), settings(logging=types))[name]

    assert found(line).status == "pass"
    cut = found("cut", line)
    assert cut.status == "unknown"
    assert "only its lines since 03:30:00 UTC were read" in cut.observed
    # What was not read is older than an hour.
    assert found("cut", line, since=hour.replace(hour=4)).status == "pass"


def test_a_listener_that_did_not_answer_is_no_pass():
    silent = {"mqtt": NOT_AUTHORISED, "websocket": "no answer: connection refused"}
    assert results(observations(anonymous=silent, guessed={}))["anonymous"].status == "unknown"
    refused = dict.fromkeys(silent, NOT_AUTHORISED)
    assert results(observations(anonymous=refused, guessed={}))["anonymous"].status == "pass"


def test_log_check_reports_the_rotation():
    path = logrotate_path(BROKER)
    assert "logrotate keeps 14 older ones" in results(observations())["log"].observed
    found = results(observations({("file", path): "absent"}))["log"]
    assert found.status == "pass"
    assert f"no {path}" in found.observed
