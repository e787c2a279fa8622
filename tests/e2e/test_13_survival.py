"""What the broker was given at the start survives a kill, within the promise of the settings."""

import os
import signal
import time
from datetime import datetime
from pathlib import Path

from mqtt import login_error
from patience import eventually

SLACK = 15


def test_retained_and_queued_messages_survive_a_kill_after_an_autosave(site):
    promise = site.settings.broker.persistence.autosave_interval
    assert promise == 300
    database = Path(site.settings.broker.folders.data, "mosquitto.db")
    since = site.promised_at
    # A stop would have saved it too: there was none.
    started = site.inspect()["State"]["StartedAt"]
    assert datetime.fromisoformat(f"{started[:19]}+00:00").timestamp() <= since
    left = since + promise + SLACK - time.time()
    eventually(lambda: database.exists() and database.stat().st_mtime > since, max(left, 1))
    # Nothing older than the promise is in memory alone.
    assert time.time() - database.stat().st_mtime <= promise + SLACK

    site.docker("kill", "--signal", "KILL", site.container)
    eventually(lambda: not site.inspect()["State"]["Running"], 20)
    site.docker("start", site.container)
    with site.until_in("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/kept").text == "retained at the start"
    with site.client("sentient_monitor_prod", session="survivor") as survivor:
        assert survivor.got("paragon/room/events/kept").text == "queued at the start"


def test_an_up_that_is_killed_is_completed_by_the_next(site):
    """kill -9 of the engine and all that it started, as the new files are tried."""
    with site.client("sentient_monitor_prod") as unaffected:
        with site.edited(lambda config: config["users"]["admin"].update(generation="killed")):
            before = site.password("admin")
            site.former_passwords.append(before)
            up = site.begin("up", "--yes", "--skip-preview", "--stack", "e2e")
            trial = f"{site.container}-candidate"
            eventually(lambda: trial in site.docker("ps", "--format", "{{.Names}}"), 60)
            os.killpg(up.pid, signal.SIGKILL)
            assert up.wait() == -signal.SIGKILL
            assert unaffected.disconnected is None
            site.client("admin").close()

            # Pulumi's own lock says that somebody is at it, and who may take it away.
            assert "pulumi cancel" in site.up(fails=True).output
            site.pulumi("cancel", "--yes", "--stack", "e2e")
            site.up()

            assert login_error(site.ports[0], "admin", before) == "Not authorized"
            site.former_passwords.append(site.password("admin"))
            site.client("admin").close()
            assert unaffected.disconnected is None
            assert trial not in site.docker("ps", "--all", "--format", "{{.Names}}")
        site.up()


def test_after_the_kill_nothing_has_to_be_mended(site):
    site.up("--expect-no-changes")
