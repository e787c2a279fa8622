"""A Docker daemon is used or started, or the error message contains a fix."""

import os
import time

import pytest

from bootstrap import apt, docker_daemon, folders
from bootstrap.docker_daemon import SECONDS_TO_START, Daemon, DaemonError, ensure_daemon
from broker.host.transport import transport

SOCKET = "unix:///var/run/docker.sock"
ANSWERS = 'case "$*" in *version*) echo 20.10.24 ;; esac'
DEAD = 'echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock." >&2; exit 1'


@pytest.fixture
def debian_root(machine, tmp_path, monkeypatch):
    """Debian, as root, without systemd and Docker; a fake apt-get installs Docker."""
    monkeypatch.setattr(apt, "DEBIAN", tmp_path / "debian_version")
    apt.DEBIAN.write_text("12\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(docker_daemon, "SYSTEMD", tmp_path / "systemd")
    monkeypatch.setattr(docker_daemon, "DOCKERD_PID", tmp_path / "docker.pid")
    monkeypatch.setattr(docker_daemon, "CONTAINERD_PID", tmp_path / "containerd.pid")
    monkeypatch.setattr(docker_daemon, "SECONDS_TO_START", 5.0)
    up = tmp_path / "up"
    machine.program("dockerd.deb", f"touch {up}; exec sleep 3")
    machine.program("docker.deb", f"if [ -e {up} ]; then echo 20.10.24; else {DEAD}; fi")
    machine.program(
        "apt-get",
        'case "$*" in *install*docker.io*)\n'
        f"  cd {machine.bin} && /bin/cp docker.deb docker && /bin/cp dockerd.deb dockerd ;;\nesac",
    )
    machine.up = up
    return machine


def test_a_running_daemon_is_used_and_nothing_else_runs(machine, capsys) -> None:
    machine.program("docker", ANSWERS)
    machine.program("apt-get")
    machine.program("dockerd")
    found = ensure_daemon()
    assert found.host == SOCKET
    assert found.argv("info") == ["docker", "-H", SOCKET, "info"]
    assert machine.calls() == [f"docker -H {SOCKET} version --format {{{{.Server.Version}}}}"]
    assert capsys.readouterr().err == ""


def test_on_debian_as_root_docker_is_installed_and_started(debian_root, capsys) -> None:
    ensure_daemon()
    updates = [call for call in debian_root.calls("apt-get") if "update" in call]
    installs = [call for call in debian_root.calls("apt-get") if "install" in call]
    assert len(updates) == len(installs) == 1
    assert installs[0].endswith(
        "install --yes --no-install-recommends docker.io iptables ca-certificates"
    )
    assert debian_root.calls("dockerd.deb") == [
        f"dockerd.deb --pidfile {docker_daemon.DOCKERD_PID} -H {SOCKET}"
    ]
    assert (folders.state() / "dockerd.log").exists()
    stderr = capsys.readouterr().err
    assert "==> Docker: installing Debian's docker.io and iptables" in stderr
    assert "==> Docker: starting the daemon" in stderr


def test_apt_and_the_daemon_get_no_secrets_from_the_environment(
    debian_root, tmp_path, monkeypatch
) -> None:
    environments = tmp_path / "environments"
    for name in ("docker.deb", "dockerd.deb", "apt-get"):
        path = debian_root.bin / name
        path.write_text(path.read_text().replace("\n", f"\nenv >>{environments}\n", 1))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "s3cret")
    monkeypatch.setenv("https_proxy", "http://proxy.example.org")
    found = ensure_daemon()
    found.run("info")
    lines = environments.read_text().splitlines()
    assert lines.count("https_proxy=http://proxy.example.org") == 3
    assert lines.count(f"PATH={debian_root.bin}") >= 6
    assert "s3cret" not in environments.read_text()


def test_installed_packages_are_not_installed_again(debian_root) -> None:
    debian_root.program("docker", f"[ -e {debian_root.up} ] && echo 20 || {{ {DEAD}; }}")
    debian_root.program("dockerd", f"touch {debian_root.up}; exec sleep 3")
    debian_root.program("iptables")
    ensure_daemon()
    assert debian_root.calls("apt-get") == []
    assert len(debian_root.calls("dockerd")) == 1


def test_docker_is_installed_if_only_its_client_is_present(debian_root) -> None:
    debian_root.program("docker", f"[ -e {debian_root.up} ] && echo 20 || {{ {DEAD}; }}")
    ensure_daemon()
    assert any("docker.io" in call for call in debian_root.calls("apt-get"))


def test_the_daemon_runs_in_its_own_session(debian_root) -> None:
    pid_file = debian_root.bin.parent / "pid"
    debian_root.program("dockerd.deb", f"echo $$ >{pid_file}; touch {debian_root.up}; exec sleep 3")
    ensure_daemon()
    pid = int(pid_file.read_text())
    assert os.getsid(pid) == pid != os.getsid(0)


def test_docker_is_installed_although_the_package_lists_cannot_be_updated(
    debian_root, capsys
) -> None:
    body = (debian_root.bin / "apt-get").read_text().split("\n", 2)[2]
    debian_root.program(
        "apt-get", 'case "$*" in *update*) echo "no mirror"; exit 100;; esac\n' + body
    )
    ensure_daemon()
    stderr = capsys.readouterr().err
    assert "The package lists could not be updated." in stderr
    assert "no mirror" in stderr


def test_with_systemd_the_unit_is_enabled_and_started(debian_root) -> None:
    docker_daemon.SYSTEMD.mkdir()
    debian_root.program("systemctl", f"touch {debian_root.up}")
    ensure_daemon()
    assert debian_root.calls("systemctl") == ["systemctl enable --now docker.service"]
    assert debian_root.calls("dockerd.deb") == []


def test_a_daemon_started_by_the_package_is_not_started_again(debian_root) -> None:
    body = (debian_root.bin / "apt-get").read_text().split("\n", 2)[2]
    debian_root.program("apt-get", f"touch {debian_root.up}\n" + body)
    ensure_daemon()
    assert debian_root.calls("dockerd.deb") == []


def test_the_error_shows_the_log_of_a_daemon_that_ends_at_once(debian_root) -> None:
    debian_root.program("dockerd.deb", 'echo "failed to mount cgroup: no such device" >&2; exit 1')
    began = time.monotonic()
    with pytest.raises(DaemonError, match="dockerd ended with status 1") as failure:
        ensure_daemon()
    assert "failed to mount cgroup" in str(failure.value)
    assert time.monotonic() - began < SECONDS_TO_START / 2, "waited for a daemon that has ended"


def test_a_daemon_that_never_answers_times_out(debian_root, monkeypatch) -> None:
    monkeypatch.setattr(docker_daemon, "SECONDS_TO_START", 1.0)
    debian_root.program("dockerd.deb", "exec sleep 3")
    with pytest.raises(DaemonError, match=r"did not answer within 1 s .*dockerd\.log"):
        ensure_daemon()


def test_a_stale_pid_file_is_removed(debian_root) -> None:
    docker_daemon.DOCKERD_PID.write_text(f"{os.getpid()}\n")  # a running process, but not dockerd
    docker_daemon.CONTAINERD_PID.write_text("not a number")
    ensure_daemon()
    assert len(debian_root.calls("dockerd.deb")) == 1
    assert not docker_daemon.DOCKERD_PID.exists()
    assert not docker_daemon.CONTAINERD_PID.exists()


def test_a_daemon_that_is_starting_already_is_awaited(debian_root, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(docker_daemon, "PROC", tmp_path / "proc")
    (tmp_path / "proc" / "77").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "comm").write_text("dockerd\n")
    docker_daemon.DOCKERD_PID.write_text("77")
    up = debian_root.up
    debian_root.program(
        "docker.deb", f"[ -e {up} ] && echo 20 || {{ (sleep 0.3; touch {up}) & {DEAD}; }}"
    )
    ensure_daemon()
    assert docker_daemon.DOCKERD_PID.exists()
    assert debian_root.calls("dockerd.deb") == []


def test_without_root_nothing_is_installed(debian_root, monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DaemonError, match=r"sudo apt-get install docker\.io"):
        ensure_daemon()
    assert debian_root.calls("apt-get") == []


def test_the_fix_on_another_system_is_not_apt(debian_root) -> None:
    apt.DEBIAN.unlink()
    with pytest.raises(DaemonError, match="install Docker Engine or Docker Desktop"):
        ensure_daemon()
    assert debian_root.calls("apt-get") == []


def test_the_error_names_the_docker_group_if_permission_is_denied(machine, monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.program(
        "docker",
        'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1',
    )
    with pytest.raises(DaemonError, match="usermod -aG docker"):
        ensure_daemon()


def test_a_daemon_on_another_socket_is_not_started(debian_root) -> None:
    debian_root.program("docker", DEAD)
    with pytest.raises(DaemonError, match=r"host unix:///run/user/1000/docker\.sock: no Docker"):
        ensure_daemon("unix:///run/user/1000/docker.sock")
    assert debian_root.calls("apt-get") == []
    assert debian_root.calls("dockerd") == []


def test_docker_context_is_an_error_before_docker_runs(machine, monkeypatch) -> None:
    machine.program("docker", ANSWERS)
    monkeypatch.setenv("DOCKER_CONTEXT", "staging")
    with pytest.raises(DaemonError, match=r"^DOCKER_CONTEXT: 'staging': .*unset DOCKER_CONTEXT"):
        ensure_daemon()
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        ("Host key verification failed.", "host key"),
        ("ubuntu@10.0.0.9: Permission denied (publickey).", "rejected the login"),
        ("ssh: connect to host 10.0.0.9 port 22: Connection timed out", "can't be reached"),
        ("sh: 1: docker: not found", "the docker command is missing"),
        ("bash: line 1: docker: command not found", "the docker command is missing"),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var",
            "usermod -aG docker",
        ),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "systemctl enable"),
    ],
)
def test_over_ssh_nothing_is_installed_and_each_cause_has_its_message(
    debian_root, stderr, message
) -> None:
    debian_root.program("ssh", f"echo '{stderr}' >&2; exit 255")
    with pytest.raises(DaemonError, match=message) as failure:
        ensure_daemon("ssh://ubuntu@10.0.0.9")
    assert str(failure.value).startswith("host ssh://ubuntu@10.0.0.9: ")
    assert debian_root.calls("apt-get") == []
    assert debian_root.calls("dockerd") == []
    assert len(debian_root.calls("ssh")) == 1


def test_over_ssh_docker_runs_on_the_host(machine) -> None:
    machine.program("ssh", "echo 28.0.1")
    found = ensure_daemon("ssh://ubuntu@10.0.0.9")
    argv = found.argv("import", '--change=CMD ["a b"]', "-")
    assert argv[0] == "ssh"
    assert argv[-1] == f"docker -H {SOCKET} import '--change=CMD [\"a b\"]' -"


@pytest.mark.usefixtures("machine")
def test_a_missing_ssh_client_is_named() -> None:
    with pytest.raises(DaemonError, match="apt-get install openssh-client"):
        ensure_daemon("ssh://ubuntu@10.0.0.9")


@pytest.mark.parametrize("host", ["ssh://ubuntu@10.0.0.9", "unix:///srv/docker.sock"])
def test_a_message_that_is_not_utf_8_is_shown(machine, host) -> None:
    for name in ("ssh", "docker"):
        machine.program(name, r"printf 'caf\351\n' >&2; exit 1")
    with pytest.raises(DaemonError, match="caf\ufffd"):
        ensure_daemon(host)
    with pytest.raises(DaemonError, match="caf\ufffd"):
        Daemon(transport=transport(host)).ask("ps")
