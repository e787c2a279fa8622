"""What is declared of backups is what a host is told, and nothing secret is in it."""

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
    return {each.words[1] if each.words[0] != "schedule" else "schedule": each for each in found}


def test_each_night_and_two_weeks_of_them_where_nothing_is_said():
    found = settings().broker.backups
    assert (found.schedule, found.keep, found.recipient) == ("30 3 * * *", 14, None)
    assert Settings.parse(smallest()).broker.backups is None


@pytest.mark.parametrize(
    ("backups", "said"),
    [
        ({"keep": 0}, "broker.backups.keep: 0"),
        ({"schedule": "0 3 31 2 *"}, "broker.backups.schedule: '0 3 31 2 *': never occurs"),
        ({"folder": "backups"}, "broker.backups.folder: 'backups'"),
        ({"folder": "/srv/mqtt/data/backups"}, "must be separate from /srv/mqtt/data"),
        ({"folder": "/srv/mqtt"}, "must be separate from"),
        ({"recipient": "AGE-SECRET-KEY-1"}, "must be a public key of age(1)"),
    ],
)
def test_bad_input_stops_with_its_path_and_the_rule(backups, said):
    with pytest.raises(SettingsError) as wrong:
        settings(**backups)
    assert said in str(wrong.value)


def test_the_host_gets_one_script_that_needs_nothing_else():
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


def test_the_whole_script_can_be_read_by_sh():
    text = host_scripts("commands/backup.sh")
    broker = settings().broker
    found = backup_timer(
        broker, broker.backups, NIGHTLY, "test", socket="unix:///run/docker.sock", script=text
    ).calls()
    whole = next(each.text for each in found if each.words[1].endswith("/backup"))
    assert subprocess.run(["sh", "-n"], input=whole, text=True, check=False).returncode == 0


def test_cron_takes_no_dot_in_a_name_and_a_missed_timer_is_made_up_for():
    raw = smallest()
    raw["broker"]["container"] = "mqtt.test"
    raw["broker"]["backups"] = {"folder": FOLDER}
    broker = Settings.parse(raw).broker
    timetable = CronSchedule.parse("0 2 * * 7")
    found = backup_timer(
        broker, broker.backups, timetable, "test", socket="unix:///x", script="#!/bin/sh\n"
    )
    assert any(
        each.words[1] == "/etc/cron.d/sentient-mqtt-backup-mqtt_test" for each in found.calls()
    )
    assert "OnCalendar=Sun *-*-* 2:0:00\n" in found.timer()
    assert "Persistent=true\n" in found.timer()
    assert found.cron().endswith(
        "0 2 * * 0 root sh /etc/sentient-mqtt/mqtt.test/backup apply >/dev/null\n"
    )


def test_a_report_is_said_as_a_person_says_it():
    found = Report.parse("retained 10000\nsessions 2\nqueued 7\narchive /a b/c\n")
    assert found.facts["archive"] == "/a b/c"
    assert found.counts() == (
        "10,000 retained messages, 2 sessions of clients that are away, "
        "7 messages that wait for them"
    )


def test_a_path_with_a_carriage_return_is_one_line():
    found = Report.parse("archive /a\rretained 9\nretained 1\n")

    assert found.facts == {"archive": "/a\rretained 9", "retained": "1"}
