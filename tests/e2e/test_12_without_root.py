"""A user without root and sudo, but in the group docker, deploys with `become: docker`."""

import pwd
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from drift_table import assert_one_up_repairs
from patience import eventually
from site_under_test import ROOT


@pytest.fixture(scope="module")
def login():
    """A temporary user in the group docker."""
    name = f"e2e-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--create-home", "--groups", "docker", name], check=True)
    yield name
    subprocess.run(["userdel", "--remove", "--force", name], check=True, capture_output=True)


@pytest.fixture(scope="module")
def unprivileged(make_site, login):
    """A site whose project and state belong to that user, who also runs `pulumi`."""
    site = make_site("theirs", lambda config: config["broker"].update(become="docker"))
    account = pwd.getpwnam(login)
    # May read every file, because engine and Python may be in root's home on this machine.
    site.run_as = (
        *("setpriv", f"--reuid={login}", f"--regid={account.pw_gid}", "--init-groups"),
        *("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"),
    )
    home = site.folder / "home"
    # Pulumi looks for plugins in the home of its user.
    plugins = Path(site.environment().get("PULUMI_HOME", Path.home() / ".pulumi"), "plugins")
    for plugin in ("random", "docker", "command"):
        for folder in plugins.glob(f"resource-{plugin}-v*"):
            if folder.is_dir():
                shutil.copytree(folder, home / "plugins" / folder.name)
    site.more_environment = {"HOME": account.pw_dir, "PULUMI_HOME": str(home)}
    # All folders above the broker's must belong to root.
    (site.folder / "credentials").mkdir(exist_ok=True)
    owned = [path for path in site.folder.iterdir() if path != site.root]
    subprocess.run(["chown", "--recursive", login, *owned], check=True)
    return site


PRINT_PARTIES = """
import pathlib, sys
from cli.observe.broker_log import read_log
from cli.stack import Stack
file = pathlib.Path(sys.argv[1])
print(*read_log(Stack.parse("e2e", file, file.read_text())).parties)
"""


def parties(site):
    """Return the users in the log, read by the user who runs `pulumi`."""
    done = subprocess.run(
        [*site.run_as, sys.executable, "-c", PRINT_PARTIES, str(site.stack_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_become_sudo_without_sudo_is_an_error(unprivileged, login):
    with unprivileged.edited(lambda config: config["broker"].update(become="sudo")):
        output = unprivileged.preview(fails=True).output
    assert f"the user '{login}' is not root and 'sudo -n' fails" in output
    assert "set broker.become to 'docker'" in output
    assert not unprivileged.is_there()


def test_up_change_and_destroy_through_docker(unprivileged):
    unprivileged.up()
    folders = unprivileged.settings.broker.folders
    assert Path(folders.config, "mosquitto_passwd").stat().st_uid == 1883
    env_file = Path(f"{unprivileged.root}/opt/sentient/.env.production")
    assert (env_file.stat().st_uid, env_file.stat().st_mode & 0o777) == (0, 0o600)
    unprivileged.client("admin").close()
    # Only its owner may read the log: `pulumi`'s user reads it through Docker.
    assert eventually(lambda: "admin" in parties(unprivileged), 10)

    unprivileged.up("--expect-no-changes")

    def change(config):
        config["users"]["lamp"] = {"read": ["paragon/+/lamp"]}

    unprivileged.edit(change)
    with unprivileged.client("admin") as unaffected:
        unprivileged.up()
        unprivileged.client("lamp").close()
        assert unaffected.disconnected is None

    assert_one_up_repairs(unprivileged)

    unprivileged.destroy()
    assert not unprivileged.is_there()
    assert not Path(folders.config).exists()
    assert Path(folders.data, "mosquitto.db").exists()
