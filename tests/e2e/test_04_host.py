"""Files on the host, and the restrictions of the container."""

import json
from pathlib import Path

from patience import eventually

from broker.mosquitto.mosquitto_conf import render_conf


def _owner_and_mode(path):
    status = Path(path).stat()
    return status.st_uid, status.st_gid, oct(status.st_mode & 0o7777)


def test_folders_and_files_have_the_documented_owner_and_mode(site):
    folders = site.settings.broker.folders
    assert _owner_and_mode(folders.data) == (1883, 1883, "0o750")
    # The broker's user can read and write the files in these folders, but not replace them.
    for folder in (folders.config, f"{folders.config}/health", folders.log):
        assert _owner_and_mode(folder) == (0, 1883, "0o750")
    assert _owner_and_mode(f"{folders.log}/mosquitto.log") == (1883, 1883, "0o600")
    names = {"mosquitto.conf", "mosquitto_passwd", "mosquitto.acl"}
    files = [path for path in Path(folders.config).rglob("*") if path.is_file()]
    assert names | {"logins", "mosquitto_sub", "mosquitto_pub"} == {file.name for file in files}
    for file in files:
        assert _owner_and_mode(file) == (1883, 1883, "0o600")


def test_paths_are_those_of_the_manual_setup_guide(site):
    paths = {str(path.relative_to(site.root)) for path in site.root.rglob("*")}
    assert {
        "opt/sentient/config/mosquitto-prod/mosquitto.conf",
        "opt/sentient/config/mosquitto-prod/mosquitto_passwd",
        "opt/sentient/config/mosquitto-prod/mosquitto.acl",
        "opt/sentient/volumes/mosquitto-data-shared",
        "opt/sentient/volumes/mosquitto-logs-shared/mosquitto.log",
        "opt/sentient/.env.production",
    } <= paths


def test_limits_of_the_manual_setup_guide_are_in_mosquitto_conf(site):
    conf = Path(site.settings.broker.folders.config, "mosquitto.conf").read_text()
    assert conf == render_conf(site.settings.broker, reserved=True)
    lines = conf.splitlines()
    for line in (
        "max_connections 10000",
        "max_queued_messages 10000",
        "autosave_interval 300",
        "max_inflight_messages 100",
        "persistence true",
        "allow_anonymous false",
    ):
        assert line in lines


def test_env_file_belongs_to_root_and_has_the_login_of_its_user(site):
    path = Path(f"{site.root}/opt/sentient/.env.production")
    assert _owner_and_mode(path) == (0, 0, "0o600")
    variables = dict(
        line.split("=", 1) for line in path.read_text().splitlines() if not line.startswith("#")
    )
    assert variables == {
        "MQTT_URL": f"mqtt://127.0.0.1:{site.ports[0]}",
        "MQTT_HOST": "127.0.0.1",
        "MQTT_PORT": str(site.ports[0]),
        "MQTT_USERNAME": "sentient_api_prod",
        "MQTT_PASSWORD": site.password("sentient_api_prod"),
    }
    assert path.read_text().endswith(site.outputs()["envFiles"]["sentient_api_prod"])


def test_log_is_on_disk_and_in_docker_and_has_no_warning(site):
    log = Path(site.settings.broker.folders.log, "mosquitto.log").read_text()
    docker_log = site.docker("logs", site.container)
    for text in (log, docker_log):
        assert "u'sentient_api_prod'" in text
        assert "warning" not in text.lower()


def test_container_is_restricted_and_restarts(site):
    container = site.inspect()
    host, config = container["HostConfig"], container["Config"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert config["User"] == "1883:1883"
    assert config["StopSignal"] == "SIGTERM"
    assert config["StopTimeout"] == 30
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-file": "5", "max-size": "10m"},
    }
    assert [(limit["Name"], limit["Soft"] >= 10_000) for limit in host["Ulimits"]] == [
        ("nofile", True)
    ]
    assert {mount["Destination"]: mount["RW"] for mount in container["Mounts"]} == {
        "/mosquitto/config": False,
        "/mosquitto/data": True,
        "/mosquitto/log": True,
    }
    bindings = [binding for port in host["PortBindings"].values() for binding in port]
    assert sorted(int(binding["HostPort"]) for binding in bindings) == sorted(site.ports)
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
    assert host["Memory"] == host["MemorySwap"] == 2048 * 1024 * 1024
    assert host["PidsLimit"] == 64
    assert list(container["NetworkSettings"]["Networks"]) == [site.container]


def test_container_cannot_write_its_root_gain_privileges_or_reach_docker(site):
    def inside(command):
        return site.docker("exec", site.container, "sh", "-c", f"{{ {command}; }} 2>&1 || :")

    assert "Read-only" in inside("echo x >/etc/x")
    assert "Read-only" in inside("echo x >/mosquitto/config/mosquitto.acl")
    assert int(inside("ulimit -n")) >= 10_000
    status = inside("cat /proc/1/status")
    capabilities = {
        line.split()[0]: int(line.split()[1], 16)
        for line in status.splitlines()
        if line.startswith("Cap")
    }
    assert set(capabilities.values()) == {0}
    assert "NoNewPrivs:\t1" in status
    # 2 is "filter": Docker's default seccomp profile.
    assert "Seccomp:\t2" in status
    assert "Operation not permitted" in inside("unshare --user true")
    assert "No such file" in inside("ls /var/run/docker.sock")
    # cgroup v2, or v1.
    assert "64" in inside("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max").split()
    limits = inside("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert str(2048 * 1024 * 1024) in limits.split()


def _processes(site):
    read = "cat /sys/fs/cgroup/pids/pids.current 2>/dev/null || cat /sys/fs/cgroup/pids.current"
    return int(site.docker("exec", site.container, "sh", "-c", read))


def test_limits_of_memory_and_processes_are_enforced(site):
    """A process above a limit is killed or not started; the broker keeps running."""
    started = site.inspect()["State"]["StartedAt"]
    before = _processes(site)
    with site.client("admin") as client:
        allocate = "dd if=/dev/zero of=/dev/null bs=3G count=1 iflag=fullblock || echo status $?"
        assert "status 137" in site.docker("exec", site.container, "sh", "-c", allocate)
        forks = "for number in $(seq 100); do sleep 1 & done; wait"
        assert "fork" in site.docker("exec", site.container, "sh", "-c", forks, check=False)
        # Their shell has ended: init must reap them.
        eventually(lambda: _processes(site) <= before, 10)
        assert client.disconnected is None
    assert site.inspect()["State"]["StartedAt"] == started


def test_container_is_alone_on_a_bridge_network(site):
    network = json.loads(site.docker("network", "inspect", site.container))[0]
    assert [container["Name"] for container in network["Containers"].values()] == [site.container]
    assert network["Driver"] == "bridge"


def test_docker_inspect_shows_no_password(site):
    text = json.dumps(site.inspect())
    assert "XDG_CONFIG_HOME" in text
    assert "PASSWORD" not in text.upper()
