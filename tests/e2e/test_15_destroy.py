"""`destroy` keeps data, logs and the image, and deletes everything else."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def destroyed(site):
    with site.client("admin") as admin:
        admin.publish("paragon/room/status/last", "last message", retain=True)
    folders = site.settings.broker.folders
    image = site.inspect()["Image"]
    site.destroy()
    return folders, image


def test_data_and_logs_are_kept(destroyed):
    folders, _ = destroyed
    assert b"last message" in Path(folders.data, "mosquitto.db").read_bytes()
    assert "mosquitto version" in Path(folders.log, "mosquitto.log").read_text()


def test_everything_else_is_deleted(site, destroyed):
    folders, _ = destroyed
    assert not site.is_there()
    assert not Path(folders.config).exists()
    assert {path.name for path in site.root.rglob("*") if path.is_file()} == {
        "mosquitto.db",
        "mosquitto.log",
    }


def test_image_is_kept(site, destroyed):
    _, image = destroyed
    assert site.docker("image", "inspect", image)


def test_next_up_finds_the_data(site, destroyed):
    assert destroyed
    site.up()
    with site.client("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/last").text == "last message"
    site.destroy()
    assert not site.is_there()
