"""Somebody who isn't root and may not sudo, but may use Docker: `become: docker` is enough."""

import pwd
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import eventually
from site_under_test import ROOT


@pytest.fixture(scope="module")
def login():
    """A user in group docker, until the end."""
    name = f"e2e-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", "--groups", "docker", name], check=True)
    yield name
    subprocess.run(["userdel", "--remove", "--force", name], check=True, capture_output=True)


@pytest.fixture(scope="module")
def theirs(make_site, login):
    """A site whose project and state belong to that user, who runs `pulumi` too."""
    site = make_site("theirs", lambda config: config["broker"].update(become="docker"))
    found = pwd.getpwnam(login)
    # Reading goes past modes: the engine and Python may lie below root's home on this machine.
    site.run_as = (
        *("setpriv", f"--reuid={login}", f"--regid={found.pw_gid}", "--init-groups"),
        *("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"),
    )
    home = site.folder / "home"
    # Pulumi installs plugins for one user: each has their own.
    plugins = Path(site.environment().get("PULUMI_HOME", Path.home() / ".pulumi"), "plugins")
    for plugin in ("random", "docker", "command"):
        for each in plugins.glob(f"resource-{plugin}-v*"):
            if each.is_dir():
                shutil.copytree(each, home / "plugins" / each.name)
    site.more_environment = {"HOME": found.pw_dir, "PULUMI_HOME": str(home)}
    # Where the broker's folders are to be, all that is above them is root's.
    (site.folder / "credentials").mkdir(exist_ok=True)
    owned = [path for path in site.folder.iterdir() if path != site.root]
    subprocess.run(["chown", "--recursive", login, *owned], check=True)
    return site


PARTIES = """
import pathlib, sys
from cli.broker_log import read_log
from cli.stack import Stack
file = pathlib.Path(sys.argv[1])
print(*read_log(Stack.parse("e2e", file, file.read_text())).parties)
"""


def parties(site):
    """Who was let in, as the log says to the user who runs `pulumi`."""
    done = subprocess.run(
        [*site.run_as, sys.executable, "-c", PARTIES, str(site.stack_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_with_sudo_as_the_way_there_is_none(theirs, login):
    with theirs.edited(lambda config: config["broker"].update(become="sudo")):
        said = theirs.preview(fails=True).output
    assert f"the user '{login}' is not root and 'sudo -n' fails" in said
    assert "set broker.become to 'docker'" in said
    assert not theirs.is_there()


def test_up_again_change_and_destroy(theirs):
    theirs.up()
    folders = theirs.settings.broker.folders
    assert Path(folders.config, "mosquitto_passwd").stat().st_uid == 1883
    env_file = Path(f"{theirs.root}/opt/sentient/.env.production")
    assert (env_file.stat().st_uid, env_file.stat().st_mode & 0o777) == (0, 0o600)
    theirs.client("admin").close()
    # The log is for its owner alone: read through Docker too.
    assert eventually(lambda: "admin" in parties(theirs), 10)

    theirs.up("--expect-no-changes")

    def change(config):
        config["users"]["lamp"] = {"read": ["paragon/+/lamp"]}

    theirs.edit(change)
    with theirs.client("admin") as unaffected:
        theirs.up()
        theirs.client("lamp").close()
        assert unaffected.disconnected is None

    theirs.destroy()
    assert not theirs.is_there()
    assert not Path(folders.config).exists()
    assert Path(folders.data, "mosquitto.db").exists()
