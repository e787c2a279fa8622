"""After `destroy` the data and the logs are there, and nothing else."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def destroyed(site):
    with site.client("admin") as admin:
        admin.publish("paragon/room/status/last", "the last words", retain=True)
    folders = site.settings.broker.folders
    image = site.inspect()["Image"]
    site.destroy()
    return folders, image


def test_data_and_logs_are_left(destroyed):
    folders, _ = destroyed
    assert b"the last words" in Path(folders.data, "mosquitto.db").read_bytes()
    assert "mosquitto version" in Path(folders.log, "mosquitto.log").read_text()


def test_and_nothing_else(site, destroyed):
    folders, _ = destroyed
    assert not site.is_there()
    assert not Path(folders.config).exists()
    assert {each.name for each in site.root.rglob("*") if each.is_file()} == {
        "mosquitto.db",
        "mosquitto.log",
    }


def test_the_image_is_left_for_the_next_time(site, destroyed):
    _, image = destroyed
    assert site.docker("image", "inspect", image)


def test_the_next_up_finds_the_data_again(site, destroyed):
    assert destroyed
    site.up()
    with site.client("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/last").text == "the last words"
    site.destroy()
    assert not site.is_there()
