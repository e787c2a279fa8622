"""Env files are written into folders of applications, and root follows none of their links."""

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
def test_file_has_owner_and_mode_and_no_other_file_is_left(host, app, owner):
    os.chown(app, owner, owner)

    done = write(host, app / ".env")

    assert (done.returncode, done.stderr) == (0, "")
    assert (app / ".env").read_text() == TEXT
    assert mode(app / ".env") == ("0600", APP, APP)
    assert all_files(app.parent) == {"app/.env": TEXT}
    assert write(host, app / ".env", TEXT + "X=1\n").returncode == 0
    assert all_files(app.parent) == {"app/.env": TEXT + "X=1\n"}


def test_link_is_replaced_and_not_followed(host, app, tmp_path):
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    (app / ".env").symlink_to(secret)

    assert write(host, app / ".env").returncode == 0

    assert secret.read_text() == "root's"
    assert mode(secret)[1:] == (0, 0)
    assert not (app / ".env").is_symlink()
    assert (app / ".env").read_text() == TEXT


def test_folder_of_that_name_is_an_error(host, app):
    (app / ".env").mkdir()

    done = write(host, app / ".env")

    assert done.returncode != 0
    assert f"{app}/.env: can't be put in place; is a folder of that name there?" in done.stderr
    assert all_files(app.parent) == {}
    assert [path.name for path in app.parent.iterdir()] == ["app"]


def test_subfolder_of_the_applications_folder_is_refused(host, app):
    (app / "config").mkdir()

    done = write(host, app / "config" / ".env")

    assert done.returncode == 1
    assert f"{app} belongs to user {APP}" in done.stderr
    assert "Choose a path whose folders, except the last, belong to root" in done.stderr
    assert all_files(app.parent) == {}


def test_mount_point_of_the_application_is_refused(host, mount, tmp_path):
    disk = mount(tmp_path / "disk", f"size=64k,mode=755,uid={APP}")

    done = write(host, disk / ".env")

    assert done.returncode == 1
    assert f"{disk} is a mount point" in done.stderr
    assert all_files(disk) == {}


def test_next_run_removes_the_staging_folder_of_a_killed_run(host, app):
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
def test_removal_deletes_the_file(host, app, owner):
    os.chown(app, owner, owner)
    write(host, app / ".env")

    done = write(host, app / ".env", action="remove")

    assert (done.returncode, done.stderr) == (0, "")
    assert all_files(app.parent) == {}
    assert write(host, app / ".env", action="remove").returncode == 0


@pytest.mark.parametrize("owner", [0, APP])
def test_removal_keeps_a_file_of_another_program(host, app, owner, tmp_path):
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
