"""The fix that `check` names for a failed point repairs it: an `up`, in most cases."""

import os
import time
from pathlib import Path

import pytest
from patience import eventually

import cli.lifecycle.restart
import cli.observe.check
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


def check_results(site):
    results = checklist(
        stack(site).settings, "e2e", cli.observe.check.observe(stack(site), site.outputs())
    )
    return {result.name: result for result in results}


def failed(site):
    return {name for name, result in check_results(site).items() if result.status == "fail"}


def file(site, name):
    return Path(site.settings.broker.folders.config) / name


def restart(site):
    cli.lifecycle.restart.restart(stack(site), site.outputs()["image"])


def test_duration_of_a_check_is_printed(broken, record_property):
    """The target is ten seconds. It is not asserted, because other tests use the machine, too."""
    began = time.monotonic()
    check_results(broken)
    took = time.monotonic() - began

    record_property("seconds", took)
    print(f"\n./brokerctl check, without the start of Pulumi: {took:.2f} s")


def test_edited_files_are_written_again_and_nobody_is_disconnected(broken):
    passwords = {name: broken.password(name) for name in broken.outputs()["credentials"]}
    for name in FILES:
        with file(broken, name).open("a") as text:
            text.write("\n# by hand\n")
        os.chown(file(broken, name), 0, 0)
    assert {"access rules", "password hashes", "drift"} <= failed(broken)
    assert check_results(broken)["drift"].fix.endswith("./brokerctl up --stack e2e")

    with broken.client("admin") as client:
        broken.up()
        assert client.disconnected is None

    assert failed(broken) == set()
    assert not [name for name in FILES if "by hand" in file(broken, name).read_text()]
    assert {name: broken.password(name) for name in passwords} == passwords


def test_restart_repairs_a_stopped_container(broken):
    broken.docker("stop", broken.container)
    result = check_results(broken)["container"]
    assert result.status == "fail"
    assert result.fix.startswith("./brokerctl restart --stack e2e")

    restart(broken)

    eventually(lambda: failed(broken) == set(), 30)


def test_up_repairs_a_removed_container(broken):
    broken.docker("rm", "--force", broken.container)
    result = check_results(broken)["container"]
    assert result.status == "fail"
    assert result.fix.startswith("./brokerctl up --stack e2e; then, if it still does not run")

    broken.up()

    eventually(lambda: failed(broken) == set(), 30)


def test_rejected_configuration_is_written_again_before_the_restart(broken):
    text = file(broken, "mosquitto.conf").read_text()
    file(broken, "mosquitto.conf").write_text(f"nonsense true\n{text}")
    broken.docker("restart", "-t", "5", broken.container, check=False)
    eventually(lambda: broken.inspect()["RestartCount"] > 0, 20)
    result = eventually(
        lambda: (point := check_results(broken)["container"]).status == "fail" and point, 20
    )
    assert result.fix.startswith("./brokerctl up --stack e2e; then")

    broken.up()
    restart(broken)

    eventually(lambda: failed(broken) == set(), 30)


def test_chown_and_restart_repair_a_database_with_the_wrong_owner(broken):
    data = broken.settings.broker.folders.data
    # The stop writes the database; a running broker would replace it by a file of its own.
    broken.docker("stop", broken.container)
    database = Path(data, "mosquitto.db")
    os.chown(database, 0, 0)
    result = check_results(broken)["persistence"]
    assert result.status == "fail"
    assert f"chown -Rh 1883:1883 {data}" in result.fix

    os.chown(database, 1883, 1883)
    restart(broken)

    eventually(lambda: failed(broken) == set(), 30)
