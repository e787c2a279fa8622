"""The metrics file for node_exporter: complete, and valid for promtool."""

import os
import subprocess

import pytest
from host_under_test import SOCKET, call, mode

from broker.monitoring.node_exporter_metrics import METRICS

REFUSED_2_0 = "2026-01-02T03:04:05: Client c1 disconnected, not authorised.\n"
REFUSED_2_1 = "2026-01-02T03:04:05: Client c2 [10.9.0.10:5] disconnected: not authorised.\n"
DENIED = "2026-01-02T03:04:05: Denied PUBLISH from c (d0, q1, r0, m1, 'x', ... (1 bytes))\n"
OTHER = "2026-01-02T03:04:05: Client x disconnected, not authorised. disconnected.\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log" / "mosquitto.log"
    path.parent.mkdir()
    path.write_text("")
    os.chown(path.parent, 1883, 1883)
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a"),
            *("-days", "9", "-keyout", folder / "pair.pem", "-out", folder / "pair.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "pair.pem"


@pytest.fixture
def metrics(host, tmp_path, log):
    """Return ``metrics()``, which runs the script and returns the values by name with labels."""
    host.docker('echo "true healthy 3"')
    host.inside["/mosquitto/log"] = log.parent
    file = tmp_path / "textfiles" / "sentient-mqtt-a.prom"

    def run(*more):
        done = host.run(
            "commands/node_exporter_metrics.sh",
            call("textfile", file, "a", "image:1"),
            call("limits", 1000, 100),
            call("container", "unix:///test.sock", "a"),
            call("log", "/mosquitto/log/mosquitto.log", tmp_path / "counted"),
            *more,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        assert file.stat().st_mode & 0o777 == 0o644, "node_exporter is not root"
        lines = file.read_text().splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        run.text = file.read_text()
        return {
            name.removeprefix("sentient_mqtt_").replace('{broker="a"}', ""): float(value)
            for name, value in samples
        }

    return run


def test_file_is_valid_for_promtool(metrics, prometheus, tmp_path, certificate):
    metrics(
        call("backups", tmp_path, 86400, "a"),
        call("certificate", "mqtts", certificate),
        call("certificate", "wss", certificate),
    )
    done = subprocess.run(
        [prometheus / "promtool", "check", "metrics"],
        input=metrics.text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for name in METRICS:
        assert f"\n{name}" in metrics.text


def test_container_state_and_health(host, metrics):
    found = metrics()
    assert found["container_running"] == found["container_healthy"] == 1
    assert found["container_restarts_total"] == 3
    host.docker('echo "true unhealthy 3"')
    assert metrics()["container_healthy"] == 0
    host.docker('echo "true starting 0"')
    assert metrics()["container_healthy"] == 1
    host.docker("echo no such container >&2; exit 1")
    found = metrics()
    assert found["container_running"] == found["container_healthy"] == 0


def test_declared_limits_are_in_the_file(metrics):
    found = metrics()
    assert (found["clients_limit"], found["refused_logins_limit"]) == (1000, 100)
    assert not any(name.startswith(("backup", "certificate")) for name in found)


class TestLog:
    def test_refused_logins_and_denied_messages_of_both_release_lines_are_counted(
        self, metrics, log
    ):
        metrics()
        with log.open("a") as file:
            file.write(REFUSED_2_0 + OTHER + REFUSED_2_1 + DENIED)
        found = metrics()
        assert (found["refused_logins_total"], found["denied_messages_total"]) == (2, 1)

    def test_long_client_id_does_not_hide_a_refused_login(self, metrics, log):
        metrics()
        with log.open("a") as file:
            file.write(f"2026-01-02T03:04:05: Client {'x' * 1200}"[:999] + "\n")
            file.write(f"2026-01-02T03:04:05: Client {'x' * 800} disconnected.\n")
        assert metrics()["refused_logins_total"] == 1

    def test_line_is_counted_once(self, metrics, log):
        metrics()
        with log.open("a") as file:
            file.write(REFUSED_2_0)
        assert metrics()["refused_logins_total"] == 1
        assert metrics()["refused_logins_total"] == 1
        with log.open("a") as file:
            file.write(REFUSED_2_1)
        assert metrics()["refused_logins_total"] == 2

    def test_lines_before_the_first_run_are_not_counted(self, metrics, log):
        log.write_text(REFUSED_2_0 * 50)
        assert metrics()["refused_logins_total"] == 0

    def test_counting_continues_after_a_rotation(self, metrics, log):
        metrics()
        with log.open("a") as file:
            file.write(REFUSED_2_0 * 3)
        assert metrics()["refused_logins_total"] == 3
        os.truncate(log, 0)
        with log.open("a") as file:
            file.write(REFUSED_2_0)
        assert metrics()["refused_logins_total"] == 4
        log.rename(log.with_suffix(".1"))
        log.write_text(REFUSED_2_0 * 9)
        assert metrics()["refused_logins_total"] == 13

    def test_missing_log_counts_nothing(self, metrics, log):
        log.unlink()
        found = metrics()
        assert (found["refused_logins_total"], found["log_bytes"]) == (0, 0)
        log.write_text(REFUSED_2_0)
        assert metrics()["refused_logins_total"] == 1

    def test_stopped_broker_keeps_the_counts(self, host, metrics, log):
        metrics()
        with log.open("a") as file:
            file.write(REFUSED_2_0)
        first = metrics()
        with log.open("a") as file:
            file.write(REFUSED_2_0)
        host.inside.clear()
        host.docker('case "$*" in *" exec "*) exit 1 ;; esac; echo "false none 3"')
        assert metrics() == {**first, "container_running": 0, "container_healthy": 0}
        host.inside["/mosquitto/log"] = log.parent
        assert metrics()["refused_logins_total"] == 2

    @pytest.mark.parametrize(
        "answer", ["1 2 3", "1 2 3 x", "$(id) 1 1 1", "9999999999999999 1 1 1"]
    )
    def test_invalid_answer_of_a_compromised_broker_is_ignored(self, host, metrics, answer):
        first = metrics()
        host.inside.clear()
        host.docker(f"case \"$*\" in *' exec '*) echo '{answer}' ;; *) echo true healthy 3 ;; esac")
        assert metrics() == first

    @pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
    def test_log_that_is_not_a_file_is_not_read(self, metrics, log, tmp_path, kind):
        metrics()
        log.unlink()
        if kind == "link":
            (tmp_path / "secret").write_text(REFUSED_2_0)
            (tmp_path / "secret").chmod(0o600)
            log.symlink_to(tmp_path / "secret")
            os.lchown(log, 1883, 1883)
        elif kind == "fifo":
            os.mkfifo(log)
        else:
            log.mkdir()
        assert metrics()["refused_logins_total"] == 0


class TestFolderOfAnotherUser:
    """A folder such as Debian's /var/lib/prometheus, with a folder of root in it."""

    @pytest.fixture
    def place(self, tmp_path):
        place = tmp_path / "prometheus"
        (place / "node-exporter").mkdir(parents=True)
        os.chown(place, 1234, 1234)
        return place

    def run(self, host, file):
        return host.run(
            "commands/node_exporter_metrics.sh",
            call("textfile", file, "a", "image:1"),
            call("limits", 1, 1),
        )

    @pytest.mark.parametrize("owner", [0, 1234])
    def test_file_is_written_as_the_owner(self, host, place, owner):
        os.chown(place / "node-exporter", owner, owner)
        file = place / "node-exporter" / "a.prom"

        for _ in range(2):
            done = self.run(host, file)
            assert (done.returncode, done.stderr) == (0, "")

        assert "sentient_mqtt_clients_limit" in file.read_text()
        assert [path.name for path in file.parent.iterdir()] == ["a.prom"]
        assert mode(file) == ("0644", owner, owner)
        assert set(host.calls()) == {f"as_owner {place} rw"}

    def test_missing_folder_is_created_by_the_owner_of_its_parent(self, host, place):
        (place / "node-exporter").rmdir()
        file = place / "node-exporter" / "a.prom"
        assert self.run(host, file).returncode == 0
        assert mode(file) == ("0644", 1234, 1234)

    def test_link_in_the_path_is_refused(self, host, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (tmp_path / "link").symlink_to(elsewhere)
        os.lchown(tmp_path / "link", 1234, 1234)
        done = self.run(host, tmp_path / "link" / "a.prom")
        assert done.returncode == 1
        assert "belongs to user 1234" in done.stderr
        assert list(elsewhere.iterdir()) == []

    def test_hard_linked_file_is_not_overwritten(self, host, place, tmp_path):
        other = tmp_path / "other"
        other.write_text("as it was")
        file = place / "node-exporter" / "a.prom"
        for name in ("a.prom", "a.prom.new"):
            (file.parent / name).hardlink_to(other)
        assert self.run(host, file).returncode == 0
        assert other.read_text() == "as it was"

    def test_file_is_removed_with_its_script(self, host, place):
        file = place / "node-exporter" / "a.prom"
        self.run(host, file)
        done = host.run(
            "lib/put_files.sh commands/schedule.sh",
            call("schedule", "a", "setting", ""),
            call("written", file, SOCKET, "image:1"),
            action="remove",
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert list(file.parent.iterdir()) == []


class TestBackups:
    def test_times_of_the_last_backup_and_the_last_drill(self, metrics, tmp_path):
        (tmp_path / ".verified-a").write_text("1700000000 a.tar.gz 1 2 3 4\n")
        (tmp_path / ".drilled-a").write_text("1600000000 a.tar.gz\n")
        found = metrics(call("backups", tmp_path, 86400, "a"))
        assert found["backup_timestamp_seconds"] == 1_700_000_000
        assert found["backup_drill_timestamp_seconds"] == 1_600_000_000
        assert found["backup_interval_seconds"] == 86_400

    @pytest.mark.parametrize("text", [None, "", "soon a.tar.gz\n"])
    def test_missing_backup_has_time_zero(self, metrics, tmp_path, text):
        if text is not None:
            (tmp_path / ".verified-a").write_text(text)
        assert metrics(call("backups", tmp_path, 86400, "a"))["backup_timestamp_seconds"] == 0


class TestCertificates:
    def test_end_of_every_certificate(self, metrics, certificate, tmp_path):
        found = metrics(
            call("certificate", "mqtts", certificate),
            call("certificate", "gone", tmp_path / "gone.pem"),
            call("certificate", "wss", certificate),
        )
        ends = {key: value for key, value in found.items() if key.startswith("certificate")}
        assert [name.partition("listener=")[2] for name in ends] == ['"mqtts"}', '"wss"}']
        assert len(set(ends.values())) == 1
        assert metrics.text.count("# TYPE sentient_mqtt_certificate") == 1


def test_full_disk_keeps_the_previous_file(host, tmp_path, mount):
    file = mount(tmp_path / "small", "size=8k") / "a.prom"
    file.write_text("as it was\n")
    (file.parent / "full").write_bytes(b"x" * 4096)
    done = host.run(
        "commands/node_exporter_metrics.sh",
        call("textfile", file, "a", "image:1"),
        call("limits", 1, 1),
    )
    assert done.returncode != 0
    assert file.read_text() == "as it was\n"
