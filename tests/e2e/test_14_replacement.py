"""Changes that need a new container: the database is kept, and the downtime is short."""

import subprocess
import time
from pathlib import Path

from logging_in import logging_in


def test_replacement_keeps_messages_that_were_just_published(site, tell):
    before = site.inspect()["Id"]
    with site.client("sentient_monitor_prod", session="replaced") as away:
        away.subscribe("paragon/+/events/#")
    with site.client("admin") as admin:
        admin.publish("paragon/room/status/new", "just published", retain=True)
        admin.publish("paragon/room/events/new", "queued for the disconnected")

    def change(config):
        config["broker"]["limits"]["maxInflightMessages"] = 50

    site.edit(change)
    output = site.preview("--diff").output
    assert "- max_inflight_messages 100" in output
    assert "+ max_inflight_messages 50" in output
    assert "docker:index/container:Container: (replace)" in output
    sentence = f"Container {site.container} is replaced: every client is disconnected once"
    assert sentence in " ".join(output.split())
    began = time.monotonic()
    with logging_in(site.ports[0], "admin", site.password("admin")) as logins:
        site.up()
    # The image is pulled and the database is saved and counted before the old container stops.
    assert logins.longest_gap < (time.monotonic() - began) / 2
    tell(f"Downtime of a replacement: {logins.longest_gap:.1f} s")
    assert site.inspect()["Id"] != before
    with site.client("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/new").text == "just published"
    with site.client("sentient_monitor_prod", session="replaced") as back:
        assert back.got("paragon/room/events/new").text == "queued for the disconnected"


def test_changed_health_check_is_applied(site):
    before = site.inspect()["Id"]

    def change(config):
        config["broker"]["health"]["interval"] = 77

    site.edit(change)
    site.up()
    assert site.inspect()["Id"] != before
    assert site.inspect()["Config"]["Healthcheck"]["Interval"] == 77 * 10**9


def _tables():
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_renamed_container_keeps_its_ports(site):
    former, site.container = site.container, f"{site.container}-new"
    site.edit(lambda config: config["broker"].update(container=site.container))
    assert f"sentient-mqtt-{former}" in _tables()
    site.up()
    assert former not in site.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    # Rules of the former name would still drop what the new ones accept.
    assert set(_tables()) & {f"sentient-mqtt-{former}", f"sentient-mqtt-{site.container}"} == {
        f"sentient-mqtt-{site.container}"
    }
    assert not Path("/etc/sentient-mqtt", former).exists()
    site.client("admin").close()


def test_removed_container_is_created_again_after_a_refresh(site):
    site.docker("rm", "--force", site.container)
    site.refresh()
    site.up()
    site.client("admin").close()
    site.up("--expect-no-changes")


def test_stopped_container_is_started_after_a_refresh(site):
    site.docker("stop", site.container)
    site.refresh()
    site.up()
    site.client("admin").close()
