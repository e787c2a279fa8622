"""With systemd, a timer runs the script, and there is no cron file."""

import os
import subprocess

import pytest
from host_scripts import host_scripts
from host_under_test import all_files, call

from broker.host.script_calls import render_stdin

# A /run of its own, in which systemd has started.
INSIDE = 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec sh -s "$0"'


@pytest.fixture
def schedule(host, tmp_path):
    place = tmp_path / "etc"

    def run(action, needs=""):
        text = host_scripts("lib/put_files.sh", "commands/schedule.sh")
        calls = [
            call("schedule", "sentient-mqtt-backup-a", "broker.backups", needs),
            call("put", place / "sentient-mqtt" / "backup", "0700", 0, 0, text="the script\n"),
            call("unit", place / "units" / "a.service", "0644", 0, 0, text="the service\n"),
            call("unit", place / "units" / "a.timer", "0644", 0, 0, text="the timer\n"),
            call("cron", place / "cron.d" / "a", "0644", 0, 0, text="the cron file\n"),
        ]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", INSIDE, action],
            input=render_stdin(text, calls),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": f"{host.bin}{os.pathsep}{os.environ['PATH']}"},
        )

    run.place = place
    return run


def test_timer_is_installed_and_started_and_a_former_cron_file_removed(host, schedule):
    host.program("systemctl", "exit 0")
    (schedule.place / "cron.d").mkdir(parents=True)
    (schedule.place / "cron.d" / "a").write_text("of a time without systemd\n")

    done = schedule("apply")

    assert (done.returncode, done.stderr) == (0, "")
    assert all_files(schedule.place) == {
        "sentient-mqtt/backup": "the script\n",
        "units/a.service": "the service\n",
        "units/a.timer": "the timer\n",
    }
    assert host.calls("systemctl") == [
        "systemctl daemon-reload",
        "systemctl enable --quiet --now sentient-mqtt-backup-a.timer",
    ]


def test_timer_that_systemd_does_not_enable_is_an_error(host, schedule):
    host.program("systemctl", 'case "$*" in *enable*) exit 1 ;; esac')
    done = schedule("apply")
    assert done.returncode != 0
    assert "systemctl status sentient-mqtt-backup-a.timer" in done.stderr


def test_missing_program_installs_nothing(host, schedule):
    host.program("systemctl", "exit 0")
    done = schedule("apply", needs="no-such-program")
    assert "broker.backups: no-such-program is not installed on the host" in done.stderr
    assert all_files(schedule.place) == {}


def test_removal_stops_and_deletes_the_timer(host, schedule):
    host.program("systemctl", "exit 0")
    schedule("apply")
    done = schedule("remove")
    assert done.returncode == 0, done.stderr
    assert all_files(schedule.place) == {}
    assert host.calls("disable --quiet --now sentient-mqtt-backup-a.timer")
