"""What is on the host and how the container is locked down."""

import json
from pathlib import Path

from patience import eventually

from broker.mosquitto.mosquitto_conf import render_conf


def _owner_and_mode(path):
    found = Path(path).stat()
    return found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)


def test_folders_and_files_have_owner_and_mode(site):
    folders = site.settings.broker.folders
    assert _owner_and_mode(folders.data) == (1883, 1883, "0o750")
    # The broker's user reads and writes the files in these, and can put nothing in their place.
    for folder in (folders.config, f"{folders.config}/health", folders.log):
        assert _owner_and_mode(folder) == (0, 1883, "0o750")
    assert _owner_and_mode(f"{folders.log}/mosquitto.log") == (1883, 1883, "0o600")
    names = {"mosquitto.conf", "mosquitto_passwd", "mosquitto.acl"}
    files = [each for each in Path(folders.config).rglob("*") if each.is_file()]
    assert names | {"logins", "mosquitto_sub", "mosquitto_pub"} == {each.name for each in files}
    for file in files:
        assert _owner_and_mode(file) == (1883, 1883, "0o600")


def test_the_paths_are_those_of_the_seed(site):
    below = {str(each.relative_to(site.root)) for each in site.root.rglob("*")}
    assert {
        "opt/sentient/config/mosquitto-prod/mosquitto.conf",
        "opt/sentient/config/mosquitto-prod/mosquitto_passwd",
        "opt/sentient/config/mosquitto-prod/mosquitto.acl",
        "opt/sentient/volumes/mosquitto-data-shared",
        "opt/sentient/volumes/mosquitto-logs-shared/mosquitto.log",
        "opt/sentient/.env.production",
    } <= below


def test_the_tuning_of_the_seed_is_in_the_configuration_that_runs(site):
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


def test_the_env_file_is_for_root_and_logs_its_service_in(site):
    path = Path(f"{site.root}/opt/sentient/.env.production")
    assert _owner_and_mode(path) == (0, 0, "0o600")
    said = dict(
        line.split("=", 1) for line in path.read_text().splitlines() if not line.startswith("#")
    )
    assert said == {
        "MQTT_URL": f"mqtt://127.0.0.1:{site.ports[0]}",
        "MQTT_HOST": "127.0.0.1",
        "MQTT_PORT": str(site.ports[0]),
        "MQTT_USERNAME": "sentient_api_prod",
        "MQTT_PASSWORD": site.password("sentient_api_prod"),
    }
    assert path.read_text().endswith(site.outputs()["envFiles"]["sentient_api_prod"])


def test_the_log_is_on_disk_and_with_docker_and_has_no_warning(site):
    log = Path(site.settings.broker.folders.log, "mosquitto.log").read_text()
    docker_log = site.docker("logs", site.container)
    for text in (log, docker_log):
        assert "u'sentient_api_prod'" in text
        assert "warning" not in text.lower()


def test_the_container_can_do_little_and_is_kept_running(site):
    found = site.inspect()
    host, config = found["HostConfig"], found["Config"]
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
    assert [(each["Name"], each["Soft"] >= 10_000) for each in host["Ulimits"]] == [
        ("nofile", True)
    ]
    assert {each["Destination"]: each["RW"] for each in found["Mounts"]} == {
        "/mosquitto/config": False,
        "/mosquitto/data": True,
        "/mosquitto/log": True,
    }
    bindings = [each for one in host["PortBindings"].values() for each in one]
    assert sorted(int(each["HostPort"]) for each in bindings) == sorted(site.ports)
    assert {each["HostIp"] for each in bindings} == {"127.0.0.1"}
    assert host["Memory"] == host["MemorySwap"] == 2048 * 1024 * 1024
    assert host["PidsLimit"] == 64
    assert list(found["NetworkSettings"]["Networks"]) == [site.container]


def test_what_the_container_may_not_do_it_cannot_do(site):
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
    # 2 is "filter": Docker's own seccomp profile.
    assert "Seccomp:\t2" in status
    assert "Operation not permitted" in inside("unshare --user true")
    assert "No such file" in inside("ls /var/run/docker.sock")
    # Where the kernel keeps the limits: cgroup v2, or v1.
    assert "64" in inside("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max").split()
    limits = inside("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert str(2048 * 1024 * 1024) in limits.split()


def _processes(site):
    read = "cat /sys/fs/cgroup/pids/pids.current 2>/dev/null || cat /sys/fs/cgroup/pids.current"
    return int(site.docker("exec", site.container, "sh", "-c", read))


def test_its_limits_of_processes_and_memory_hold(site):
    """What goes beyond them is refused, or ended; the broker beside it stays."""
    started = site.inspect()["State"]["StartedAt"]
    before = _processes(site)
    with site.client("admin") as client:
        eats = "dd if=/dev/zero of=/dev/null bs=3G count=1 iflag=fullblock || echo status $?"
        assert "status 137" in site.docker("exec", site.container, "sh", "-c", eats)
        forks = "for each in $(seq 100); do sleep 1 & done; wait"
        assert "fork" in site.docker("exec", site.container, "sh", "-c", forks, check=False)
        # Their shell gave up without them: somebody must have reaped them.
        eventually(lambda: _processes(site) <= before, 10)
        assert client.disconnected is None
    assert site.inspect()["State"]["StartedAt"] == started


def test_its_neighbours_on_the_host_are_on_another_network(site):
    network = json.loads(site.docker("network", "inspect", site.container))[0]
    assert [each["Name"] for each in network["Containers"].values()] == [site.container]
    assert network["Driver"] == "bridge"


def test_no_ready_made_access_is_in_what_docker_shows(site):
    text = json.dumps(site.inspect())
    assert "XDG_CONFIG_HOME" in text
    assert "PASSWORD" not in text.upper()
