"""An archive is unpacked only if the disk has room for all of it."""

import tarfile

import pytest
from host_under_test import SOCKET, call


@pytest.fixture
def unpack(host, mount, tmp_path):
    """``unpack(size)``: open an archive with a file of *size* zeros, on a disk of 16 MiB."""
    backups = mount(tmp_path / "disk", "size=16m")

    def unpack(size):
        content = tmp_path / "mosquitto.db"
        with content.open("wb") as file:
            file.truncate(size)
        archive = tmp_path / "a.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(content, "data/mosquitto.db")
        assert archive.stat().st_size < 1_000_000
        return backups, host.run(
            "lib/archive.sh",
            call("database", "a", SOCKET, "image:1", tmp_path),
            call("backups", backups, tmp_path, "test", 3, ""),
            call("only_one"),
            call("open_archive", archive),
        )

    return unpack


def test_a_small_archive_that_unpacks_to_more_than_the_disk_is_refused(unpack):
    backups, done = unpack(100_000_000)

    assert done.returncode == 1
    assert "unpacks to 1" in done.stderr
    assert f"free below {backups}. Nothing was changed" in done.stderr
    assert not list(backups.rglob("mosquitto.db"))


def test_one_that_fits_is_unpacked(unpack):
    _, done = unpack(5_000_000)

    assert "it has no manifest of a known format" in done.stderr, "it was not unpacked"
