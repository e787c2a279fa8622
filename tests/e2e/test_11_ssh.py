"""A host over ssh, as a login that isn't root: the same story, and who is turned away."""

import re
from pathlib import Path

import pytest
from sshd import Sshd
from witness import PULUMIS


@pytest.fixture(scope="module")
def server(ground):
    with Sshd(ground / "sshd") as sshd:
        yield sshd


@pytest.fixture(scope="module")
def remote(make_site, server):
    """A site that is reached over ssh; nothing is there yet."""

    def change(config):
        config["broker"]["host"] = server.host
        config["broker"]["sshConfig"] = str(server.config)

    made = make_site("remote", change)
    made.more_environment = dict(PULUMIS)
    return made


def test_up_change_again_and_destroy(remote, witness):
    with witness.watching():
        remote.up()
    remote.client("admin").close()
    passwords = [each["password"].encode() for each in remote.outputs()["credentials"].values()]
    assert not any(each in seen for each in passwords for seen in witness.seen)
    assert any(b"docker system dial-stdio" in seen.replace(b"\0", b" ") for seen in witness.seen)
    assert any(process.line.startswith(b"ssh\0-T\0") for process in witness.processes)
    # The Docker provider starts this one itself, with the environment that it has.
    theirs = b"\0dial-stdio\0", b"docker system dial-stdio"
    holders = witness.holders(PULUMIS | {"PULUMI_CONFIG": remote.container})
    assert all(any(end in process.line for end in theirs) for process, _ in holders)
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

    remote.destroy()
    assert not remote.is_there()
    left = {each.name for each in remote.root.rglob("*") if each.is_file()}
    assert left == {"mosquitto.db", "mosquitto.log"}


@pytest.fixture
def turned_away(remote, server):
    """Return the one sentence of a preview that stops at the door; nothing is changed."""

    def look(**broker):
        before = sorted(remote.root.rglob("*"))
        with remote.edited(lambda config: config["broker"].update(broker)):
            said = re.sub(r"\n\s*Fix: ", " ", remote.preview(fails=True).diagnostics)
        assert "Traceback" not in said
        assert sorted(remote.root.rglob("*")) == before
        assert not remote.is_there()
        lines = [each.strip() for each in said.splitlines() if f"host {server.host}:" in each]
        assert len(lines) == 1, said
        return lines[0]

    return look


def test_an_unknown_host_key(turned_away, server):
    line = turned_away(sshConfig=str(server.folder / "stranger"))
    assert "its host key differs from the one in known_hosts, or is not in known_hosts" in line


def test_a_key_that_is_not_let_in(turned_away, server):
    config = server.folder / "no_key"
    config.write_text(server.config.read_text().replace("user_key", "host_key"))
    assert "it rejected the login" in turned_away(sshConfig=str(config))


def test_a_server_that_is_down(turned_away, server):
    with server.down():
        assert "it can't be reached" in turned_away()


def test_a_login_without_the_right_to_sudo(turned_away, server):
    with server.without_sudo():
        line = turned_away()
    assert f"the user '{server.user}' is not root and 'sudo -n' fails" in line


def test_a_login_that_may_not_use_docker(turned_away, server):
    with server.without_group():
        line = turned_away()
    assert "Docker doesn't answer" in line
    assert "usermod -aG docker" in line


def test_a_host_without_docker(turned_away, server):
    with server.without_docker():
        assert "the docker command is missing" in turned_away()
