"""What only a start applies replaces the container, and the database is saved on the way."""

import subprocess
import time
from pathlib import Path

from logging_in import logging_in


def test_a_change_of_the_configuration_keeps_what_was_just_published(site, tell):
    before = site.inspect()["Id"]
    with site.client("sentient_monitor_prod", session="replaced") as away:
        away.subscribe("paragon/+/events/#")
    with site.client("admin") as admin:
        admin.publish("paragon/room/status/new", "just published", retain=True)
        admin.publish("paragon/room/events/new", "queued for who is away")

    def change(config):
        config["broker"]["limits"]["maxInflightMessages"] = 50

    site.edit(change)
    shown = site.preview("--diff").output
    assert "- max_inflight_messages 100" in shown
    assert "+ max_inflight_messages 50" in shown
    assert "docker:index/container:Container: (replace)" in shown
    began = time.monotonic()
    with logging_in(site.ports[0], "admin", site.password("admin")) as somebody:
        site.up()
    # The image is there, and the database on disk and counted, before the old one ends.
    assert somebody.longest_gap < (time.monotonic() - began) / 2
    tell(f"A replacement: nobody was let in for {somebody.longest_gap:.1f} s")
    assert site.inspect()["Id"] != before
    with site.client("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/new").text == "just published"
    with site.client("sentient_monitor_prod", session="replaced") as back:
        assert back.got("paragon/room/events/new").text == "queued for who is away"


def test_a_change_of_the_health_check_comes_true(site):
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


def test_a_container_gets_another_name_and_keeps_its_ports(site):
    former, site.container = site.container, f"{site.container}-new"
    site.edit(lambda config: config["broker"].update(container=site.container))
    assert f"sentient-mqtt-{former}" in _tables()
    site.up()
    assert former not in site.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    # The rules of the name before would go on refusing what these let in.
    assert set(_tables()) & {f"sentient-mqtt-{former}", f"sentient-mqtt-{site.container}"} == {
        f"sentient-mqtt-{site.container}"
    }
    assert not Path("/etc/sentient-mqtt", former).exists()
    site.client("admin").close()


def test_a_container_that_somebody_removed_is_made_again(site):
    site.docker("rm", "--force", site.container)
    site.refresh()
    site.up()
    site.client("admin").close()
    site.up("--expect-no-changes")


def test_a_container_that_somebody_stopped_runs_again_after_a_refresh(site):
    site.docker("stop", site.container)
    site.refresh()
    site.up()
    site.client("admin").close()
