"""Messages survive a kill of the broker after an autosave, and a killed `up` is completed."""

import os
import signal
import time
from datetime import datetime
from pathlib import Path

from mqtt import login_error
from patience import eventually

SLACK = 15


def test_retained_and_queued_messages_survive_a_kill_after_an_autosave(site):
    interval = site.settings.broker.persistence.autosave_interval
    assert interval == 300
    database = Path(site.settings.broker.folders.data, "mosquitto.db")
    since = site.published_at
    # A stop would have saved the messages, too: the broker has not been stopped since.
    started = site.inspect()["State"]["StartedAt"]
    assert datetime.fromisoformat(f"{started[:19]}+00:00").timestamp() <= since
    left = since + interval + SLACK - time.time()
    eventually(lambda: database.exists() and database.stat().st_mtime > since, max(left, 1))
    # Nothing older than the interval is in memory only.
    assert time.time() - database.stat().st_mtime <= interval + SLACK

    site.docker("kill", "--signal", "KILL", site.container)
    eventually(lambda: not site.inspect()["State"]["Running"], 20)
    site.docker("start", site.container)
    with site.eventually_client("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/kept").text == "retained at the start"
    with site.client("sentient_monitor_prod", session="survivor") as survivor:
        assert survivor.got("paragon/room/events/kept").text == "queued at the start"


def test_killed_up_is_completed_by_the_next_up(site):
    """`kill -9` of the engine and its processes while the new files are tried."""
    with site.client("sentient_monitor_prod") as unaffected:
        with site.edited(lambda config: config["users"]["admin"].update(generation="killed")):
            before = site.password("admin")
            site.former_passwords.append(before)
            up = site.begin("up", "--yes", "--skip-preview", "--stack", "e2e")
            candidate = f"{site.container}-candidate"
            eventually(lambda: candidate in site.docker("ps", "--format", "{{.Names}}"), 60)
            os.killpg(up.pid, signal.SIGKILL)
            assert up.wait() == -signal.SIGKILL
            assert unaffected.disconnected is None
            site.client("admin").close()

            # Pulumi's lock is left; the error names the command that removes it.
            assert "pulumi cancel" in site.up(fails=True).output
            site.pulumi("cancel", "--yes", "--stack", "e2e")
            site.up()

            assert login_error(site.ports[0], "admin", before) == "Not authorized"
            site.former_passwords.append(site.password("admin"))
            site.client("admin").close()
            assert unaffected.disconnected is None
            assert candidate not in site.docker("ps", "--all", "--format", "{{.Names}}")
        site.up()


def test_up_after_the_killed_up_changes_nothing(site):
    site.up("--expect-no-changes")
