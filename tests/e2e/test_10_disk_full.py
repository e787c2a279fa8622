"""A disk that is full while files are written: an error, the old files, and a way on."""

from pathlib import Path

import pytest
from mqtt import login_error


@pytest.fixture
def small(make_site, mount):
    """A site, up, whose configuration folder has a file system of its own."""
    site = make_site("small")
    mount(Path(site.settings.broker.folders.config), "size=256k,mode=755")
    site.up()
    yield site
    site.destroy()


def test_the_running_broker_is_untouched_and_the_next_up_heals(small):
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
        said = small.up(fails=True).output
        assert "is the disk full?" in said
        assert "The file in place is untouched" in said
        for line in (folder / "mosquitto_passwd").read_text().splitlines():
            assert line.rpartition("$")[2] not in said
        assert old_password not in said
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
