"""What the checklist asks of a host is said by it, and nothing secret is."""

import os
from hashlib import sha256

import pytest
from host_under_test import call

from broker.host.facts import HostFacts


@pytest.fixture
def says(host):
    def run(*calls):
        done = host.run(
            "commands/probe.sh commands/observe.sh", call("host", "unix:///test.sock"), *calls
        )
        assert (done.returncode, done.stderr) == (0, "")
        run.text = done.stdout
        return HostFacts.parse(done.stdout)

    return run


def test_of_archives_in_a_shared_folder_each_container_has_its_own(says, tmp_path):
    (tmp_path / ".verified-a").write_text("1 a-1.tar.gz 3 1 3 8\n")
    (tmp_path / ".verified-b").write_text("2 b-1.tar.gz 0 1 3 8\n")
    (tmp_path / ".filled-b").write_text("1 b-0.tar.gz 5 1 3 8\n")
    (tmp_path / "b-0.tar.gz").write_text("an archive")
    (tmp_path / "a-1.tar.gz").write_text("an archive")

    found = says(call("backups", tmp_path, "b"))

    assert found.line("backup", "verified") == "2 b-1.tar.gz 0 1 3 8"
    assert found.lines("there") == {"filled": "yes"}
    assert says(call("backups", tmp_path, "c")).line("backup", "verified") == ""


def test_a_note_that_was_cut_short_names_no_archive_that_is_there(says, tmp_path):
    for text in ("", "17\n", "\n"):
        (tmp_path / ".verified-a").write_text(text)
        assert says(call("backups", tmp_path, "a")).lines("there") == {}


def test_whose_a_folder_is_and_how_much_room_it_has(says, tmp_path, mount):
    small = mount(tmp_path / "small", "size=64k,uid=1883,gid=1883")
    (small / "filler").write_bytes(b"x" * 40_960)
    found = says(
        *(call(verb, small) for verb in ("owner", "space")),
        # Where it would be made.
        call("space", small / "not" / "there"),
        call("owner", tmp_path / "nowhere"),
    )
    assert found.line("owner", str(small)) == "1883:1883"
    assert found.line("space", str(small)) == "64 24"
    assert found.line("space", f"{small}/not/there") == "64 24"
    assert found.line("owner", f"{tmp_path}/nowhere") == "absent"


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "nothing"])
def test_what_is_no_file_is_absent_and_no_link_is_followed(says, tmp_path, kind):
    path = tmp_path / "mosquitto.db"
    (tmp_path / "secret").write_text("a secret")
    if kind == "link":
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    found = says(call("file", path), call("digest", path))
    assert found.line("file", str(path)) == "absent"
    assert found.lines("digest") == {}


@pytest.mark.parametrize("text", ["", "four"])
def test_of_a_file_its_mode_owner_time_and_size(says, tmp_path, text):
    path = tmp_path / "mosquitto.db"
    path.write_text(text)
    path.chmod(0o640)
    os.chown(path, 1883, 1884)
    os.utime(path, (1, 17))
    assert says(call("file", path)).line("file", str(path)) == f"640 1883 1884 17 {len(text)}"


def test_of_a_file_with_a_password_its_digest_alone(says, tmp_path):
    file = tmp_path / ".env.production"
    file.write_text("MQTT_URL=mqtt://192.168.2.3:1883\nMQTT_PASSWORD=s3cret\n")
    found = says(call("digest", file), call("digest", tmp_path / "nowhere"))
    assert found.lines("digest") == {str(file): sha256(file.read_bytes()).hexdigest()}
    assert "s3cret" not in says.text
