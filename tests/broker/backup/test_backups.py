"""The backup timer, its script, and reports."""

import subprocess

import pytest
from declared import smallest
from host_scripts import host_scripts

from broker.backup.backups import Report, backup_timer
from broker.settings.cron_schedule import CronSchedule
from broker.settings.stack_settings import Settings, SettingsError

FOLDER = "/srv/backups"
NIGHTLY = CronSchedule.parse("30 3 * * *")
PUBLIC = "age1" + "q" * 58


def settings(**backups):
    raw = smallest()
    raw["broker"]["backups"] = {"folder": FOLDER, **backups}
    return Settings.parse(raw)


def calls(**backups):
    broker = settings(**backups).broker
    found = backup_timer(
        broker,
        broker.backups,
        NIGHTLY,
        "test",
        socket="unix:///run/docker.sock",
        script="#!/bin/sh\n",
    ).calls()
    return {call.words[1] if call.words[0] != "schedule" else "schedule": call for call in found}


def test_default_is_nightly_and_keeps_two_weeks():
    found = settings().broker.backups
    assert (found.schedule, found.keep, found.recipient) == ("30 3 * * *", 14, None)
    assert Settings.parse(smallest()).broker.backups is None


@pytest.mark.parametrize(
    ("backups", "message"),
    [
        ({"keep": 0}, "broker.backups.keep: 0"),
        ({"schedule": "0 3 31 2 *"}, "broker.backups.schedule: '0 3 31 2 *': never occurs"),
        ({"folder": "backups"}, "broker.backups.folder: 'backups'"),
        ({"folder": "/srv/mqtt/data/backups"}, "must be separate from /srv/mqtt/data"),
        ({"folder": "/srv/mqtt"}, "must be separate from"),
        ({"recipient": "AGE-SECRET-KEY-1"}, "must be a public key of age(1)"),
    ],
)
def test_invalid_settings_are_rejected_with_path_and_rule(backups, message):
    with pytest.raises(SettingsError) as error:
        settings(**backups)
    assert message in str(error.value)


def test_host_gets_one_self_contained_script():
    found = calls(recipient=PUBLIC)
    script = found["/etc/sentient-mqtt/mosquitto-test/backup"]
    assert script.words[2:] == ("0700", "0", "0")
    assert f"backups {FOLDER} /srv/mqtt/config test 14 {PUBLIC}\n" in script.text
    assert script.text.endswith("finish\n")
    assert found["schedule"].words == (
        "schedule",
        "sentient-mqtt-backup-mosquitto-test",
        "broker.backups",
        "age",
    )
    checked = subprocess.run(["sh", "-n"], input=script.text, text=True, check=False)
    assert checked.returncode == 0


def test_whole_script_is_valid_sh():
    text = host_scripts("commands/backup.sh")
    broker = settings().broker
    found = backup_timer(
        broker, broker.backups, NIGHTLY, "test", socket="unix:///run/docker.sock", script=text
    ).calls()
    whole = next(call.text for call in found if call.words[1].endswith("/backup"))
    assert subprocess.run(["sh", "-n"], input=whole, text=True, check=False).returncode == 0


def test_cron_file_name_has_no_dot_and_timer_catches_up():
    raw = smallest()
    raw["broker"]["container"] = "mqtt.test"
    raw["broker"]["backups"] = {"folder": FOLDER}
    broker = Settings.parse(raw).broker
    timetable = CronSchedule.parse("0 2 * * 7")
    found = backup_timer(
        broker, broker.backups, timetable, "test", socket="unix:///x", script="#!/bin/sh\n"
    )
    assert any(
        call.words[1] == "/etc/cron.d/sentient-mqtt-backup-mqtt_test" for call in found.calls()
    )
    assert "OnCalendar=Sun *-*-* 2:0:00\n" in found.timer()
    assert "Persistent=true\n" in found.timer()
    assert found.cron().endswith(
        "0 2 * * 0 root sh /etc/sentient-mqtt/mqtt.test/backup apply >/dev/null\n"
    )


def test_report_counts_are_readable():
    found = Report.parse("retained 10000\nsessions 2\nqueued 7\narchive /a b/c\n")
    assert found.facts["archive"] == "/a b/c"
    assert found.counts() == (
        "10,000 retained messages, 2 sessions of disconnected clients, 7 queued messages"
    )


def test_carriage_return_does_not_split_a_report_line():
    found = Report.parse("archive /a\rretained 9\nretained 1\n")

    assert found.facts == {"archive": "/a\rretained 9", "retained": "1"}
