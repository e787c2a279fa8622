"""Connection lines are read from all log files; logrotate gets a file if the host has logrotate."""

import gzip
import os

import pytest
from host_under_test import SOCKET, call, mode

TEXT = '"/srv/log/mosquitto.log" {\n    daily\n    copytruncate\n}\n'


class TestReading:
    @pytest.fixture
    def folder(self, tmp_path):
        made = tmp_path / "log"
        made.mkdir()
        (made / "mosquitto.log.2.gz").write_bytes(gzip.compress(line(1) + line(2)))
        (made / "mosquitto.log.1").write_bytes(line(3))
        (made / "mosquitto.log").write_bytes(
            line(4) + b"2026-01-02T03:04:05: Sending CONNACK to c (0, 0)\n" + line(5)
        )
        (made / "mosquitto.log.lock").write_bytes(line(9))
        for age, name in enumerate(("mosquitto.log", "mosquitto.log.1", "mosquitto.log.2.gz")):
            os.utime(made / name, (1e9 - age, 1e9 - age))
        return made

    def read(self, host, folder, minutes=0, size=0):
        return host.run(
            "commands/read_log.sh",
            call("sightings", folder / "mosquitto.log", minutes, size, SOCKET, "image:1"),
            action="look",
        )

    def test_reads_rotated_files_oldest_first(self, host, folder):
        done = self.read(host, folder)
        assert done.stdout == b"".join(map(line, range(1, 6))).decode() + "end\n"
        assert done.stderr == ""

    def test_reads_only_recent_files(self, host, folder):
        assert self.read(host, folder, minutes=60).stdout == "end\n"
        os.utime(folder / "mosquitto.log")
        assert self.read(host, folder, minutes=60).stdout == (line(4) + line(5)).decode() + "end\n"

    def test_reads_the_end_of_a_file_and_says_so(self, host, folder):
        for name in ("mosquitto.log.1", "mosquitto.log.2.gz"):
            (folder / name).unlink()
        done = self.read(host, folder, size=len(line(5)) + 10)
        assert done.stdout == "cut\n" + line(5).decode() + "end\n"
        whole = self.read(host, folder, size=10_000)
        assert "cut" not in whole.stdout

    def test_empty_log_is_no_error(self, host, tmp_path):
        done = self.read(host, tmp_path)
        assert (done.returncode, done.stdout) == (0, "end\n")

    def test_log_is_read_as_its_owner_and_links_and_fifos_are_skipped(self, host, tmp_path):
        folder = tmp_path / "log"
        folder.mkdir()
        os.chown(folder, 1883, 1883)
        secret = tmp_path / "secret"
        secret.write_bytes(line(8))
        (folder / "mosquitto.log").symlink_to(secret)
        os.lchown(folder / "mosquitto.log", 1883, 1883)
        os.mkfifo(folder / "mosquitto.log.1")
        (folder / "mosquitto.log.2").mkdir()
        (folder / "mosquitto.log.3").write_bytes(line(3))
        (folder / "mosquitto.log.4").hardlink_to(secret)
        secret.chmod(0o600)
        (folder / "mosquitto.log.3").chmod(0o644)

        done = self.read(host, folder)

        assert (done.returncode, done.stdout) == (0, line(3).decode() + "end\n")
        assert host.calls() == [f"as_owner {folder} ro"]

    def test_missing_folder_is_an_error(self, host, tmp_path):
        done = self.read(host, tmp_path / "nowhere")
        assert done.returncode != 0
        assert "the folder does not exist" in done.stderr


def line(number):
    return f"2026-01-02T03:04:0{number}: Client c{number} disconnected.\n".encode()


class TestRotation:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "etc" / "logrotate.d" / "sentient-mqtt-x"

    def run(self, host, path, action="apply"):
        return host.run(
            "lib/put_files.sh commands/logrotate.sh",
            call("rotated", "/srv/log/mosquitto.log", path, "0644", 0, 0, text=TEXT),
            action=action,
        )

    def test_file_is_installed_and_removed(self, host, path):
        host.program("logrotate", "exit 0")
        assert self.run(host, path).returncode == 0
        assert path.read_text() == TEXT
        assert mode(path) == ("0644", 0, 0)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]

        assert self.run(host, path, "remove").returncode == 0
        assert not path.exists()

    def test_file_that_logrotate_rejects_is_not_installed(self, host, path):
        host.program("logrotate", "exit 0")
        self.run(host, path)
        path.write_text("as it was\n")
        host.program("logrotate", 'echo "error: line 3" >&2; exit 1')

        done = self.run(host, path)

        assert done.returncode != 0
        assert "logrotate refuses its file, nothing was changed: error: line 3" in done.stderr
        assert path.read_text() == "as it was\n"

    def test_log_of_another_logrotate_file_gets_no_second_one(self, host, path):
        host.program(
            "logrotate",
            'case "$*" in *logrotate.conf) '
            'echo "error: b:1 duplicate log entry for /srv/log/mosquitto.log" >&2; exit 1 ;; esac',
        )
        done = self.run(host, path)
        assert done.returncode == 0, done.stderr
        assert not path.exists()
