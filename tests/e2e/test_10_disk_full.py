"""A disk that is full during an `up`: an error, unchanged files, and the next `up` completes."""

from pathlib import Path

import pytest
from mqtt import login_error


@pytest.fixture
def small(make_site, mount, docker):
    """A site, up, whose configuration folder is on a small file system."""
    site = make_site("small")
    mount(Path(site.settings.broker.folders.config), "size=256k,mode=755")
    site.up()
    yield site
    # Before its configuration folder is unmounted.
    docker("rm", "--force", "--volumes", site.container)


def test_full_disk_leaves_the_broker_untouched_and_the_next_up_completes_the_change(small):
    folder = Path(small.settings.broker.folders.config)
    before, container = small.files(), small.inspect()
    filler = folder / "filler"
    with small.client("admin") as client:
        with filler.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"x" * 4096)
                except OSError:
                    break

        def change(config):
            config["users"]["lamp"] = {"read": ["paragon/+/lamp"]}
            config["users"]["admin"]["generation"] = 2

        old_password = small.password("admin")
        small.edit(change)
        output = small.up(fails=True).output
        assert "is the disk full?" in output
        assert "The file in place is untouched" in output
        for line in (folder / "mosquitto_passwd").read_text().splitlines():
            assert line.rpartition("$")[2] not in output
        assert old_password not in output
        after = small.files()
        after.pop(str(filler))
        assert after == before
        assert client.disconnected is None
    assert small.inspect()["State"]["StartedAt"] == container["State"]["StartedAt"]

    filler.unlink()
    small.up()
    assert login_error(small.ports[0], "admin", old_password)
    small.client("admin").close()
    small.client("lamp").close()
    small.up("--expect-no-changes")
    assert small.inspect()["Id"] == container["Id"]
