"""A container that was changed, removed or left behind is repaired by one plain `pulumi up`."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from ports import free_port

from bootstrap.broker_image import EXPORTER, fallback_image

CHANGED = "Changed on the host since the last `pulumi up`: "


def monitored(config):
    config["broker"]["monitoring"] = {"user": "sentient_monitor_prod", "port": free_port()}


@pytest.fixture(scope="module")
def drifting(make_site, daemon):
    fallback_image("trixie", daemon, EXPORTER)
    site = make_site("containers", monitored)
    site.up()
    with site.client("admin") as admin:
        admin.publish("paragon/room/status/kept", "before any change", retain=True)
    yield site
    site.destroy()
    assert not site.is_there()


def said(output):
    """Return what a preview says was changed, by container and property."""
    lines = " ".join(output.split()).split(CHANGED)[1:]
    return {line.partition(". ")[0] for line in lines}


def repair(site):
    """Return what a preview names, after one `up`; the next test fails if it left a difference."""
    named = said(site.preview().output)
    site.up()
    return named


def kept(site):
    with site.eventually_client("admin") as admin:
        admin.subscribe("paragon/#")
        return admin.got("paragon/room/status/kept").text == "before any change"


def exporter(site):
    return f"{site.container}-exporter"


def state(site, name):
    return site.docker("inspect", "--format", "{{.State.Status}}", name).strip()


def test_changes_by_hand_are_corrected_and_nobody_is_disconnected(drifting):
    name, before = drifting.container, drifting.inspect()
    with drifting.client("admin") as client:
        drifting.docker(
            *("update", "--restart", "no", "--memory", "100m", "--memory-swap", "100m"),
            *("--pids-limit", "20", name),
        )
        # Docker sorts it after the first, so it does not become the default route.
        other = f"{name}-z"
        drifting.docker("network", "create", other)
        drifting.docker("network", "connect", other, name)
        drifting.docker("stop", exporter(drifting))

        named = repair(drifting)

        assert client.disconnected is None
    drifting.docker("network", "rm", other)
    assert named == {
        f"container {name}: restart is no, not unless-stopped",
        f"container {name}: memory is 104857600, not 2147483648",
        f"container {name}: swap is 104857600, not 2147483648",
        f"container {name}: pids is 20, not 64",
        f"container {name}: networks is {name} {other}, not {name}",
        f"container {exporter(drifting)}: state is exited",
    }
    after = drifting.inspect()
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    for key in ("RestartPolicy", "Memory", "MemorySwap", "PidsLimit"):
        assert after["HostConfig"][key] == before["HostConfig"][key], key
    assert set(after["NetworkSettings"]["Networks"]) == {name}
    assert state(drifting, exporter(drifting)) == "running"


def test_a_container_recreated_by_hand_with_its_labels_is_replaced(drifting):
    """Watchtower copies labels; this one runs as root and without seccomp as well."""
    name, found = drifting.container, drifting.inspect()
    drifting.docker("stop", "--time", "30", name)
    drifting.docker("rm", name)
    drifting.docker(
        *("run", "--detach", "--name", name, "--user", "0:0", "--network", name),
        *("--security-opt", "seccomp=unconfined"),
        *("--publish", f"127.0.0.1:{drifting.ports[0]}:{drifting.ports[0]}"),
        *(word for bind in found["HostConfig"]["Binds"] for word in ("--volume", bind)),
        *(
            word
            for label, value in found["Config"]["Labels"].items()
            for word in ("--label", f"{label}={value}")
        ),
        *(found["Image"], "/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"),
    )
    with drifting.eventually_client("admin") as admin:
        admin.publish("paragon/room/status/by-hand", "to the one by hand", retain=True)

    named = repair(drifting)

    assert {
        f"container {name}: id is another container than the one that was created",
        f"container {name}: user is 0:0, not 1883:1883",
        f"container {name}: security is seccomp=unconfined, not no-new-privileges:true",
    } <= named
    after = drifting.inspect()
    assert after["Config"]["User"] == "1883:1883"
    assert after["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert kept(drifting)
    with drifting.client("admin") as admin:
        admin.subscribe("paragon/#")
        assert admin.got("paragon/room/status/by-hand").text == "to the one by hand"


def test_removed_containers_and_their_network_are_created_again(drifting):
    name = drifting.container
    drifting.docker("rm", "--force", exporter(drifting), name)
    drifting.docker("network", "rm", name)

    named = repair(drifting)

    assert named == {
        f"container {name} was removed",
        f"container {name}: network was removed",
        f"container {exporter(drifting)} was removed",
    }
    assert kept(drifting)
    assert state(drifting, exporter(drifting)) == "running"


def test_an_address_that_the_host_lacks_is_refused_at_preview(drifting):
    before = drifting.inspect()["State"]["StartedAt"]

    def unknown(config):
        config["broker"]["listeners"]["mqtt"]["bindAddress"] = "10.77.7.7"

    with drifting.edited(unknown):
        output = " ".join(drifting.preview(fails=True).output.split())

    assert "broker.listeners.mqtt.bindAddress: '10.77.7.7': the host has no such address" in output
    assert drifting.inspect()["State"]["StartedAt"] == before


def test_the_former_container_comes_back_if_the_new_one_does_not_start(drifting):
    """A port that is bound and not listened on is visible to Docker only."""
    before = drifting.inspect()["Config"]["Labels"]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        def move(config):
            config["broker"]["listeners"]["mqtt"]["port"] = port

        with drifting.edited(move):
            output = " ".join(drifting.up(fails=True).output.split())

        assert "address already in use" in output
        assert f"the new container {drifting.container}: the former one runs again" in output
        assert drifting.inspect()["Config"]["Labels"] == before
        # With the former port in mosquitto.conf, too.
        assert kept(drifting)

    drifting.up()
    assert kept(drifting)
    drifting.up("--expect-no-changes")


def kill_at_creation(site):
    """Kill an `up` and every process that it started, once Docker has created the container."""
    events = subprocess.Popen(
        [
            *("docker", "events", "--filter", "event=create"),
            *("--filter", f"container={site.container}", "--format", "{{.Actor.Attributes.name}}"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    process = site.begin("up", "--yes", "--skip-preview", "--stack", "e2e")
    # Helper containers have longer names.
    assert any(line.strip() == site.container for line in events.stdout)
    while members := list(session_of(process.pid)):
        for pid in members:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    process.wait()
    events.kill()
    events.wait()


def session_of(leader):
    for folder in Path("/proc").iterdir():
        try:
            state_, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if session == str(leader) and state_ != "Z":
            yield int(folder.name)


def known_ids(site):
    (file,) = site.state.glob(".pulumi/stacks/*/*.json")
    resources = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
    return {resource.get("id") for resource in resources}


def test_a_container_that_a_killed_up_created_is_taken_over(drifting):
    name = drifting.container
    drifting.edit(lambda config: config["broker"]["limits"].update(maxInflightMessages=47))
    kill_at_creation(drifting)
    assert drifting.inspect()["Id"] not in known_ids(drifting), "killed too late to prove anything"

    drifting.pulumi("cancel", "--yes", "--stack", "e2e")
    drifting.up()

    assert drifting.inspect()["Id"] in known_ids(drifting)
    assert kept(drifting)
    names = drifting.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    assert {other for other in names if other.startswith(name)} == {name, exporter(drifting)}
