"""An env file is put where its application may write, and root follows none of its links."""

import os

import pytest
from host_under_test import all_files, call, mode

APP = 1000
TEXT = "# Written by Pulumi, stack prod.\nMQTT_PASSWORD=s3cret\n"


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "srv" / "app"
    folder.mkdir(parents=True)
    os.chown(folder, APP, APP)
    return folder


def write(host, path, text=TEXT, *, uid=APP, action="apply"):
    return host.run(
        "commands/env_file.sh", call("env_file", path, "0600", uid, uid, text=text), action=action
    )


@pytest.mark.parametrize("owner", [0, APP])
def test_it_is_there_with_owner_and_mode_and_nothing_beside_it(host, app, owner):
    os.chown(app, owner, owner)

    done = write(host, app / ".env")

    assert (done.returncode, done.stderr) == (0, "")
    assert (app / ".env").read_text() == TEXT
    assert mode(app / ".env") == ("0600", APP, APP)
    assert all_files(app.parent) == {"app/.env": TEXT}
    assert write(host, app / ".env", TEXT + "X=1\n").returncode == 0
    assert all_files(app.parent) == {"app/.env": TEXT + "X=1\n"}


def test_a_link_in_its_place_is_replaced_and_not_followed(host, app, tmp_path):
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    (app / ".env").symlink_to(secret)

    assert write(host, app / ".env").returncode == 0

    assert secret.read_text() == "root's"
    assert mode(secret)[1:] == (0, 0)
    assert not (app / ".env").is_symlink()
    assert (app / ".env").read_text() == TEXT


def test_a_folder_in_its_place_is_an_error_and_nothing_is_left(host, app):
    (app / ".env").mkdir()

    done = write(host, app / ".env")

    assert done.returncode != 0
    assert f"{app}/.env: can't be put in place; is a folder of that name there?" in done.stderr
    assert all_files(app.parent) == {}
    assert [path.name for path in app.parent.iterdir()] == ["app"]


def test_a_folder_deeper_in_the_applications_is_refused(host, app):
    (app / "config").mkdir()

    done = write(host, app / "config" / ".env")

    assert done.returncode == 1
    assert f"{app} belongs to user {APP}" in done.stderr
    assert "Choose a folder of which all but the last are root's" in done.stderr
    assert all_files(app.parent) == {}


def test_a_disk_of_the_application_is_refused(host, mount, tmp_path):
    disk = mount(tmp_path / "disk", f"size=64k,mode=755,uid={APP}")

    done = write(host, disk / ".env")

    assert done.returncode == 1
    assert f"{disk} is a file system of its own" in done.stderr
    assert all_files(disk) == {}


def test_what_a_run_that_was_killed_left_is_swept(host, app):
    write(host, app / ".env")
    waiting = app.parent / ".sentient-mqtt-left"
    host.program("mv", 'kill -9 "$PPID"')
    write(host, app / ".env", "# other\n")
    (left,) = (path for path in app.parent.iterdir() if path != app)
    assert mode(left) == ("0700", 0, 0)
    assert not waiting.exists()
    (host.bin / "mv").unlink()

    assert write(host, app / ".env", "# other\n").returncode == 0

    assert all_files(app.parent) == {"app/.env": "# other\n"}


@pytest.mark.parametrize("owner", [0, APP])
def test_ours_goes_when_it_is_removed(host, app, owner):
    os.chown(app, owner, owner)
    write(host, app / ".env")

    done = write(host, app / ".env", action="remove")

    assert (done.returncode, done.stderr) == (0, "")
    assert all_files(app.parent) == {}
    assert write(host, app / ".env", action="remove").returncode == 0


@pytest.mark.parametrize("owner", [0, APP])
def test_what_somebody_else_put_in_its_place_stays(host, app, owner, tmp_path):
    os.chown(app, owner, owner)
    write(host, app / ".env")
    (app / ".env").write_text("X=theirs\n")
    (tmp_path / "file").write_text("y")
    (app / "link").symlink_to(tmp_path / "file")

    for name in (".env", "link"):
        done = write(host, app / name, action="remove")
        assert done.returncode == 0
        assert done.stderr == f"{app}/{name}: was not written by this stack, and stays\n"

    assert (app / ".env").read_text() == "X=theirs\n"
    assert (app / "link").is_symlink()
