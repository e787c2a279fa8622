"""The host answers the questions of the checklist, and reports no secret."""

import os
from hashlib import sha256

import pytest
from host_under_test import call

from broker.host.facts import HostFacts


@pytest.fixture
def observe(host):
    def run(*calls):
        done = host.run(
            "commands/probe.sh commands/observe.sh", call("host", "unix:///test.sock"), *calls
        )
        assert (done.returncode, done.stderr) == (0, "")
        run.text = done.stdout
        return HostFacts.parse(done.stdout)

    return run


def test_containers_have_their_own_archives_in_a_shared_folder(observe, tmp_path):
    (tmp_path / ".verified-a").write_text("1 a-1.tar.gz 3 1 3 8\n")
    (tmp_path / ".verified-b").write_text("2 b-1.tar.gz 0 1 3 8\n")
    (tmp_path / ".filled-b").write_text("1 b-0.tar.gz 5 1 3 8\n")
    (tmp_path / "b-0.tar.gz").write_text("an archive")
    (tmp_path / "a-1.tar.gz").write_text("an archive")

    found = observe(call("backups", tmp_path, "b"))

    assert found.line("backup", "verified") == "2 b-1.tar.gz 0 1 3 8"
    assert found.lines("there") == {"filled": "yes"}
    assert observe(call("backups", tmp_path, "c")).line("backup", "verified") == ""


def test_truncated_note_names_no_archive(observe, tmp_path):
    for text in ("", "17\n", "\n"):
        (tmp_path / ".verified-a").write_text(text)
        assert observe(call("backups", tmp_path, "a")).lines("there") == {}


def test_owner_and_space_of_a_folder(observe, tmp_path, mount):
    small = mount(tmp_path / "small", "size=64k,uid=1883,gid=1883")
    (small / "filler").write_bytes(b"x" * 40_960)
    found = observe(
        *(call(verb, small) for verb in ("owner", "space")),
        # A folder that does not exist yet.
        call("space", small / "not" / "there"),
        call("owner", tmp_path / "nowhere"),
    )
    assert found.line("owner", str(small)) == "1883:1883"
    assert found.line("space", str(small)) == "64 24"
    assert found.line("space", f"{small}/not/there") == "64 24"
    assert found.line("owner", f"{tmp_path}/nowhere") == "absent"


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "nothing"])
def test_path_that_is_not_a_file_is_absent_and_no_link_is_followed(observe, tmp_path, kind):
    path = tmp_path / "mosquitto.db"
    (tmp_path / "secret").write_text("a secret")
    if kind == "link":
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    found = observe(call("file", path), call("digest", path))
    assert found.line("file", str(path)) == "absent"
    assert found.lines("digest") == {}


@pytest.mark.parametrize("text", ["", "four"])
def test_mode_owner_time_and_size_of_a_file(observe, tmp_path, text):
    path = tmp_path / "mosquitto.db"
    path.write_text(text)
    path.chmod(0o640)
    os.chown(path, 1883, 1884)
    os.utime(path, (1, 17))
    assert observe(call("file", path)).line("file", str(path)) == f"640 1883 1884 17 {len(text)}"


def test_file_with_a_password_is_reported_by_digest(observe, tmp_path):
    file = tmp_path / ".env.production"
    file.write_text("MQTT_URL=mqtt://192.168.2.3:1883\nMQTT_PASSWORD=s3cret\n")
    found = observe(call("digest", file), call("digest", tmp_path / "nowhere"))
    assert found.lines("digest") == {str(file): sha256(file.read_bytes()).hexdigest()}
    assert "s3cret" not in observe.text
