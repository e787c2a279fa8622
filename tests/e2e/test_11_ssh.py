"""A host over ssh with a login that is not root, and the errors of a host that cannot be used."""

import re
from pathlib import Path

import pytest
from drift_table import assert_one_up_repairs
from process_watcher import SECRET_VARIABLES
from sshd import Sshd


@pytest.fixture(scope="module")
def server(shared_folder):
    with Sshd(shared_folder / "sshd") as sshd:
        yield sshd


@pytest.fixture(scope="module")
def remote(make_site, server):
    """A site on a host that is reached over ssh, before its first `up`."""

    def change(config):
        config["broker"]["host"] = server.host
        config["broker"]["sshConfig"] = str(server.config)

    site = make_site("remote", change)
    site.more_environment = dict(SECRET_VARIABLES)
    return site


def test_up_change_and_destroy_over_ssh(remote, process_watcher):
    with process_watcher.watching():
        remote.up()
    remote.client("admin").close()
    logins = remote.outputs()["credentials"].values()
    passwords = [login["password"].encode() for login in logins]
    texts, processes = process_watcher.texts, process_watcher.processes
    assert not any(password in text for password in passwords for text in texts)
    assert any(b"docker system dial-stdio" in text.replace(b"\0", b" ") for text in texts)
    assert any(process.command_line.startswith(b"ssh\0-T\0") for process in processes)
    # The Docker provider starts this command itself, with its own environment.
    dial = b"\0dial-stdio\0", b"docker system dial-stdio"
    holders = process_watcher.holders(SECRET_VARIABLES | {"PULUMI_CONFIG": remote.container})
    assert all(any(words in process.command_line for words in dial) for process, _ in holders)
    env_file = Path(f"{remote.root}/opt/sentient/.env.production")
    assert (env_file.stat().st_uid, env_file.stat().st_mode & 0o777) == (0, 0o600)

    remote.up("--expect-no-changes")

    def change(config):
        config["users"]["lamp"] = {"read": ["paragon/+/lamp"]}

    remote.edit(change)
    before = remote.inspect()["Id"]
    with remote.client("admin") as unaffected:
        remote.up()
        remote.client("lamp").close()
        assert unaffected.disconnected is None
    assert remote.inspect()["Id"] == before

    assert_one_up_repairs(remote)

    remote.destroy()
    assert not remote.is_there()
    remaining = {path.name for path in remote.root.rglob("*") if path.is_file()}
    assert remaining == {"mosquitto.db", "mosquitto.log"}


@pytest.fixture
def host_error(remote, server):
    """``host_error(setting=value)``: the one error of a preview that cannot use the host."""

    def preview(**broker):
        before = sorted(remote.root.rglob("*"))
        with remote.edited(lambda config: config["broker"].update(broker)):
            errors = re.sub(r"\n\s*Fix: ", " ", remote.preview(fails=True).diagnostics)
        assert "Traceback" not in errors
        assert sorted(remote.root.rglob("*")) == before
        assert not remote.is_there()
        lines = [line.strip() for line in errors.splitlines() if f"host {server.host}:" in line]
        assert len(lines) == 1, errors
        return lines[0]

    return preview


def test_unknown_host_key_is_an_error(host_error, server):
    line = host_error(sshConfig=str(server.folder / "stranger"))
    assert "its host key differs from the one in known_hosts, or is not in known_hosts" in line


def test_refused_user_key_is_an_error(host_error, server):
    config = server.folder / "no_key"
    config.write_text(server.config.read_text().replace("user_key", "host_key"))
    assert "it rejected the login" in host_error(sshConfig=str(config))


def test_unreachable_host_is_an_error(host_error, server):
    with server.down():
        assert "it can't be reached" in host_error()


def test_login_without_sudo_is_an_error(host_error, server):
    with server.without_sudo():
        line = host_error()
    assert f"the user '{server.user}' is not root and 'sudo -n' fails" in line


def test_login_outside_the_docker_group_is_an_error(host_error, server):
    with server.without_group():
        line = host_error()
    assert "Docker doesn't answer" in line
    assert "usermod -aG docker" in line


def test_host_without_docker_is_an_error(host_error, server):
    with server.without_docker():
        assert "the docker command is missing" in host_error()
