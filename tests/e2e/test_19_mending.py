"""What `check` names as mending a failed point does mend it, and an `up` alone does not."""

import os
import time
from pathlib import Path

import pytest
from patience import eventually

import cli.check
import cli.restart
from broker.checks.checklist import checklist
from cli.stack import Stack

FILES = ("mosquitto.conf", "mosquitto.acl", "mosquitto_passwd")


@pytest.fixture(scope="module")
def broken(make_site):
    site = make_site("mending")
    site.up()
    eventually(lambda: site.inspect()["State"]["Health"]["Status"] == "healthy", 30)
    return site


def stack(site):
    return Stack.parse("e2e", site.stack_file, site.stack_file.read_text())


def points(site):
    found = checklist(stack(site).settings, "e2e", cli.check.sight(stack(site), site.outputs()))
    return {each.name: each for each in found}


def failed(site):
    return {name for name, each in points(site).items() if each.status == "fail"}


def file(site, name):
    return Path(site.settings.broker.folders.config) / name


def rewrite(site):
    """As the check says: another generation of the health check's password, and an up."""
    found = points(site)
    assert any("broker.health.generation" in each.fix for each in found.values())
    now = int(site.settings.broker.health.generation)
    site.edit(lambda config: config["broker"]["health"].update(generation=str(now + 1)))
    site.up()


def restart(site):
    cli.restart.restart(stack(site), site.outputs()["image"])


def test_how_long_one_waits_for_it(broken, record_property):
    """Ten seconds are promised; it is printed, as a machine under test may be slow."""
    began = time.monotonic()
    points(broken)
    took = time.monotonic() - began

    record_property("seconds", took)
    print(f"\nmake check, without Pulumi's own start: {took:.2f} s")


def test_edited_files_are_written_anew_and_nobody_is_disconnected(broken):
    passwords = {name: broken.password(name) for name in broken.outputs()["credentials"]}
    for name in FILES:
        with file(broken, name).open("a") as text:
            text.write("\n# by hand\n")
        os.chown(file(broken, name), 0, 0)
    broken.up()
    assert {"access rules", "password hashes", "drift"} <= failed(broken), "an up does mend it"

    with broken.client("admin") as client:
        rewrite(broken)
        assert client.disconnected is None

    assert failed(broken) == set()
    assert not [name for name in FILES if "by hand" in file(broken, name).read_text()]
    assert {name: broken.password(name) for name in passwords} == passwords


def test_a_container_that_was_stopped_is_restarted(broken):
    broken.docker("stop", broken.container)
    broken.up()
    found = points(broken)["container"]
    assert found.status == "fail", "an up does mend it"
    assert found.fix.startswith("./brokerctl restart --stack e2e")

    restart(broken)

    eventually(lambda: failed(broken) == set(), 30)


def test_a_container_that_was_removed_is_made_anew(broken):
    broken.docker("rm", "--force", broken.container)
    broken.up()
    found = points(broken)["container"]
    assert found.status == "fail", "an up does mend it"
    assert "pulumi up --refresh --stack e2e" in found.fix

    broken.up("--refresh")

    eventually(lambda: failed(broken) == set(), 30)


def test_a_configuration_that_it_does_not_start_with_is_mended_before_the_restart(broken):
    text = file(broken, "mosquitto.conf").read_text()
    file(broken, "mosquitto.conf").write_text(f"nonsense true\n{text}")
    broken.docker("restart", "-t", "5", broken.container, check=False)
    eventually(lambda: broken.inspect()["RestartCount"] > 0, 20)
    found = eventually(lambda: (each := points(broken)["container"]).status == "fail" and each, 20)
    assert found.fix.startswith("mosquitto.conf first.")

    rewrite(broken)
    restart(broken)

    eventually(lambda: failed(broken) == set(), 30)


def test_a_database_that_is_anothers_is_given_back(broken):
    data = broken.settings.broker.folders.data
    # Its end writes it, and nothing after that writes it anew under the broker's own name.
    broken.docker("stop", broken.container)
    database = Path(data, "mosquitto.db")
    os.chown(database, 0, 0)
    found = points(broken)["persistence"]
    assert found.status == "fail"
    assert f"chown -Rh 1883:1883 {data}" in found.fix

    os.chown(database, 1883, 1883)
    restart(broken)

    eventually(lambda: failed(broken) == set(), 30)
