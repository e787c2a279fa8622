"""The probe reports what the host has and which program uses a port, and changes nothing."""

import os
import socket
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest
from host_under_test import SOCKET, call

from broker.credentials.env_files import env_file_mark
from broker.host.facts import HostFacts
from broker.host.probe_functions import Probe

MARK = env_file_mark("prod")
ON_HOST = ("0750", 1883, 1883, "mosquitto.db")
ANSWERS = 'case "$*" in *version*) echo 28.0.1 ;; *" ps "*) ;; *) exit 1 ;; esac'


@pytest.fixture
def probe(host):
    host.docker(ANSWERS)

    def ask(*calls):
        done = host.run("commands/probe.sh", call("host", SOCKET), *calls, action="look")
        assert done.stderr == ""
        return HostFacts.parse(done.stdout)

    return ask


def test_login_and_complete_answer_are_reported(probe):
    facts = probe()

    assert facts.line("login") == "root"
    assert facts.line("root") == "yes"
    assert facts.line("docker") == "ok"
    assert facts.line("probe") == "done"


def test_docker_error_is_quoted_and_docker_is_not_called_again(host, probe):
    host.docker('echo "Cannot connect to" >&2; echo "the daemon" >&2; exit 1')

    facts = probe(
        call("image", "image:1"),
        call("container", "mqtt", "/etc/mqtt", "prod"),
        call("port", 1883, "prod"),
    )

    assert facts.line("docker") == "Cannot connect to the daemon"
    assert len(host.calls()) == 1
    assert facts.line("probe") == "done"


def test_missing_docker_is_reported(host, probe):
    (host.bin / "docker").unlink()
    host.only("sh", "id", "tr", "dirname", "awk", "head", "cat", "stat")

    assert probe().line("docker") == "absent"


def test_login_without_root_is_reported(host, probe):
    host.program("id", 'case "$1" in -un) echo sentient ;; *) echo 1000 ;; esac')
    host.program("sudo", "exit 1")

    facts = probe(call("folder", "/srv/data", *ON_HOST))

    assert facts.line("login") == "sentient"
    assert facts.line("root") == "no"
    # Without root, the content of another owner's folder is unknown.
    assert facts.line("folder", "/srv/data") == ""
    assert host.calls("sudo") == ["sudo -n true"]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        (("port", 1883, "prod"), " ps "),
        (("container", "mqtt", "/etc/mqtt", "prod"), " inspect "),
        (("image", "image:1"), " image inspect "),
        (("standin", "local:*"), " image ls "),
    ],
)
def test_failure_of_docker_is_no_answer_and_its_message_is_shown(host, question, word):
    message = "Error response from daemon: client version 1.40 is too old"
    host.docker(
        f"case \"$*\" in *version*) echo 28.0.1 ;; *'{word}'*) echo '{message}' >&2; exit 1 ;; esac"
    )

    done = host.run("commands/probe.sh", call("host", SOCKET), call(*question), action="look")

    assert done.returncode != 0
    assert message in done.stderr
    assert not HostFacts.parse(done.stdout).complete
    assert HostFacts.parse(done.stdout).line(question[0], question[1]) == ""


def test_object_that_docker_does_not_have_is_an_answer(host, probe):
    host.docker(
        'case "$*" in *version*) echo 28.0.1 ;;'
        ' *) echo "Error response from daemon: No such image: image:1" >&2; exit 1 ;; esac'
    )

    assert probe(call("image", "image:1")).line("image", "image:1") == "absent"
    assert probe(call("container", "mqtt", "/etc/mqtt", "prod")).line("container", "mqtt") == "none"


@pytest.mark.parametrize(
    ("dialled", "answer"),
    [
        (r"""printf 'HTTP/1.0 200 OK\r\n\r\n{"ID":"A:1","Version":"28"}'""", "ok"),
        (
            r"""printf 'HTTP/1.0 200 OK\r\n\r\n{"ID":"B:2","Version":"28"}'""",
            "reaches another daemon",
        ),
        ('echo "dial unix /nope: not there" >&2; exit 1', "fails: dial unix /nope: not there"),
        ("exit 0", "fails: "),
    ],
)
def test_daemon_is_dialled_as_the_docker_provider_does(host, probe, dialled, answer):
    host.docker(
        f'case "$*" in "system dial-stdio") cat >"{host.folder}/asked"; {dialled} ;;'
        " *version*) echo 28.0.1 ;; *info*) echo A:1 ;; esac"
    )

    assert probe(call("dialled")).line("dialled") == answer
    assert (host.folder / "asked").read_text().startswith("GET /info HTTP/1.0\n")


@pytest.mark.parametrize(
    ("info", "facts"),
    [
        ('true true ["name=seccomp,profile=default"]', {}),
        ('true true ["name=seccomp,profile=default","name=userns"]', {"userns": "yes"}),
        ('true false ["name=rootless","name=cgroupns"]', {"swap": "no", "rootless": "yes"}),
        ("false false []", {"memory": "no"}),
    ],
)
def test_options_of_the_daemon_are_reported_if_they_are_not_the_default(host, probe, info, facts):
    host.docker(f"case \"$*\" in *version*) echo 28.0.1 ;; *' info '*) echo '{info}' ;; esac")

    assert probe(call("daemon_options")).lines("daemon") == facts


def test_options_of_a_daemon_that_does_not_report_them_are_unknown(probe):
    assert probe(call("daemon_options")).lines("daemon") == {}


@pytest.mark.parametrize(
    ("config", "words", "facts"),
    [
        ("{}", r"dockerd\0--userland-proxy=true\0", {}),
        ("{}", r"dockerd\0--userland-proxy=false\0--debug\0", {"proxy": "no"}),
        (r'{\n  "userland-proxy" : false\n}', r"dockerd\0", {"proxy": "no"}),
        (r'{"userland-proxy": true}', r"dockerd\0", {}),
    ],
)
def test_daemon_without_docker_proxy_is_reported(host, probe, config, words, facts):
    host.docker("case \"$*\" in *version*) echo 28.0.1 ;; *) echo 'true true []' ;; esac")
    host.program(
        "cat",
        'case "$*" in /run/docker.pid) echo 77 ;;'
        f" /proc/77/cmdline) printf '{words}' ;; /etc/docker/daemon.json) printf '{config}' ;;"
        ' *) exec /bin/cat "$@" ;; esac',
    )

    assert probe(call("daemon_options")).lines("daemon") == facts


def test_port_of_another_program_is_reported(probe):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = probe(call("port", port, "prod")).line("port", str(port))
    assert taken == f"another program (ss -ltnp 'sport = :{port}' shows which)"
    assert probe(call("port", port, "prod")).line("port", str(port)) == "free"


def test_port_of_another_program_on_ipv6_is_reported(probe):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert (
            probe(call("port", port, "prod")).line("port", str(port)).startswith("another program")
        )


def test_port_of_an_outgoing_connection_is_free(probe):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        assert probe(call("port", port, "prod")).line("port", str(port)) == "free"


@pytest.mark.parametrize(
    ("publishers", "answer"),
    [
        ("mosquitto-prod prod", "ours"),
        ("other dev", "container other"),
        ("other ", "container other"),
        ("mosquitto-prod prod\nother", "container other"),
    ],
)
def test_port_of_a_container_is_ours_or_names_the_container(host, probe, publishers, answer):
    host.docker(f"case \"$*\" in *version*) echo 1 ;; *' ps '*) printf '{publishers}\\n' ;; esac")

    assert probe(call("port", 1883, "prod")).line("port", "1883") == answer


@pytest.mark.parametrize(
    ("docker", "owner"),
    [
        ("echo prod", "prod"),
        ("echo", "made by hand"),
        ("exit 1", "none"),
        # Without a label, what it mounts tells.
        ('case "$*" in *Mounts*) echo /etc/mqtt ;; *) echo ;; esac', "prod"),
        ('case "$*" in *Mounts*) echo /etc/mqtt ;; *) echo "<no value>" ;; esac', "prod"),
        ('case "$*" in *Mounts*) echo /etc/mqtt ;; *) echo dev ;; esac', "dev"),
    ],
)
def test_owner_of_a_container_is_read_from_its_label(host, probe, docker, owner):
    host.docker(f'case "$*" in *version*) echo 1 ;; *) {docker} ;; esac')

    asked = Probe.container("mqtt", config_folder="/etc/mqtt", stack="prod")
    assert probe(asked).line("container", "mqtt") == owner


@pytest.mark.parametrize(
    ("docker", "answer"),
    [
        ("echo mqtt-1234", "ours"),
        ("echo", "other"),
        ("echo br-other", "other"),
        ('echo "Error response from daemon: network mqtt not found" >&2; exit 1', ""),
    ],
)
def test_network_of_the_containers_name_is_recognized_by_its_bridge(host, probe, docker, answer):
    host.docker(f'case "$*" in *version*) echo 1 ;; *"network inspect"*) {docker} ;; esac')

    assert probe(call("network", "mqtt", "mqtt-1234")).line("network", "mqtt") == answer


def test_images_and_the_newest_fallback_image_are_reported(host, probe):
    host.docker(
        'case "$*" in *version*) echo 1 ;; *"inspect"*"image:1") echo x ;; *inspect*) exit 1 ;;'
        ' *"image ls"*) echo local:2; echo local:1 ;; esac'
    )

    facts = probe(call("image", "image:1"), call("image", "image:2"), call("standin", "local:*"))

    assert facts.line("image", "image:1") == "present"
    assert facts.line("image", "image:2") == "absent"
    assert facts.line("standin", "local:*") == "local:2"


def test_existing_and_possible_folders_are_ok_and_not_created(probe, tmp_path):
    (tmp_path / "there").mkdir()

    facts = probe(
        call("folder", tmp_path / "there", *ON_HOST), call("folder", tmp_path / "a" / "b", *ON_HOST)
    )

    assert facts.line("folder", str(tmp_path / "there")) == "ok"
    assert facts.line("folder", str(tmp_path / "a" / "b")) == "ok"
    assert not (tmp_path / "a").exists()


def test_path_that_is_not_a_folder_is_an_error(probe, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    facts = probe(
        call("folder", tmp_path / "file", *ON_HOST),
        call("folder", tmp_path / "file" / "below", *ON_HOST),
        call("folder", tmp_path / "link", *ON_HOST),
    )

    for path in ("file", "file/below"):
        assert facts.line("folder", f"{tmp_path}/{path}") == (
            f"{tmp_path}/file exists and is not a folder"
        )
    assert facts.line("folder", f"{tmp_path}/link") == "is a symbolic link"


@pytest.mark.parametrize("kind", [ON_HOST, ("0700", "archives", 0, "*.tar.gz")])
def test_folder_that_another_user_could_move_is_an_error(probe, tmp_path, kind):
    (tmp_path / "home" / "mqtt").mkdir(parents=True)
    os.chown(tmp_path / "home", 1000, 1000)

    facts = probe(call("folder", tmp_path / "home" / "mqtt", *kind))

    assert facts.line("folder", f"{tmp_path}/home/mqtt") == (
        f"{tmp_path}/home belongs to user 1000, who could replace what root writes below it "
        f"(chown root {tmp_path}/home)"
    )


def test_data_folder_may_belong_to_the_broker_and_archives_only_to_root(probe, tmp_path):
    for name in ("data", "archives"):
        (tmp_path / name).mkdir(mode=0o750)
        os.chown(tmp_path / name, 1883, 1883)

    facts = probe(
        call("folder", tmp_path / "data", *ON_HOST),
        call("folder", tmp_path / "archives", "0700", "archives", 0),
    )

    assert facts.line("folder", str(tmp_path / "data")) == "ok"
    assert "belongs to user 1883" in facts.line("folder", str(tmp_path / "archives"))


@pytest.mark.parametrize(
    ("name", "found", "answer"),
    [
        ("mosquitto.db", (0, 0o755), "ok"),
        ("authorized_keys", (0, 0o700), "exists and holds other files than the broker's"),
        # The folder has its owner and mode already.
        ("notes.txt", (1883, 0o750), "ok"),
    ],
)
def test_folder_of_another_program_is_an_error(probe, tmp_path, name, found, answer):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / name).write_text("x")
    owner, bits = found
    os.chown(folder, owner, owner)
    folder.chmod(bits)

    assert probe(call("folder", folder, *ON_HOST)).line("folder", str(folder)).startswith(answer)


def test_env_file_in_a_folder_of_the_application(probe, tmp_path):
    app = tmp_path / "app"
    (app / "below").mkdir(parents=True)
    os.chown(app, 1000, 1000)
    (app / "link").symlink_to("/etc/passwd")
    (app / "theirs").write_text("X=1\n")
    paths = [app / "new", app / "link", app / "theirs", app / "below" / "new"]

    facts = probe(*(call("envfile", path, MARK) for path in paths))

    assert [facts.line("envfile", str(path)) for path in paths] == [
        "ok",
        "is a symbolic link",
        "exists and was not written by this program",
        f"{app} belongs to user 1000, who could replace what root writes below it "
        f"(chown root {app}). Of the folders of its path only the last may belong to another user",
    ]


def test_env_file_on_a_mount_point_of_the_application_is_an_error(probe, mount, tmp_path):
    disk = mount(tmp_path / "disk", "size=64k,mode=755,uid=1000")

    found = probe(call("envfile", disk / "env", MARK)).line("envfile", f"{disk}/env")

    assert found.startswith(f"{disk} is a mount point, and {disk} belongs to user 1000")


def test_read_only_disk_is_an_error(probe, mount, tmp_path):
    disk = mount(tmp_path / "disk", "size=64k,mode=755")
    (disk / "mqtt.env").write_text(f"{MARK}\nX=1\n")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    facts = probe(
        call("folder", disk / "data", *ON_HOST),
        call("envfile", disk / "mqtt.env", MARK),
        call("envfile", disk / "new.env", MARK),
    )

    error = f"{disk} can't be written to (a read-only file system?)"
    assert facts.line("folder", f"{disk}/data") == error
    assert facts.line("envfile", f"{disk}/mqtt.env") == error
    assert facts.line("envfile", f"{disk}/new.env") == error


def test_env_file_is_recognized_by_its_first_line(probe, tmp_path):
    prod, dev, other = (tmp_path / name for name in ("prod", "dev", "other"))
    prod.write_text(f"{MARK}\nMQTT_USERNAME=x\n")
    dev.write_text(f"{env_file_mark('dev')}\nMQTT_USERNAME=x\n")
    other.write_text(f"X=1\n{MARK}\n")

    facts = probe(
        *(call("envfile", path, MARK) for path in (prod, dev, other)),
        call("envfile", tmp_path, MARK),
        call("envfile", tmp_path / "new" / "env", MARK),
        call("envfile", other / "below", MARK),
    )

    assert facts.line("envfile", str(prod)) == "ok"
    assert facts.line("envfile", str(tmp_path / "new" / "env")) == "ok"
    assert facts.line("envfile", str(other)) == "exists and was not written by this program"
    assert facts.line("envfile", str(dev)) == "exists and was written by stack dev"
    assert facts.env_file_stack(str(dev)) == "dev"
    assert facts.env_file_stack(str(other)) == facts.env_file_stack(str(prod)) == ""
    assert facts.line("envfile", str(tmp_path)) == "is a folder"
    assert facts.line("envfile", f"{other}/below") == f"{other} exists and is not a folder"
    assert other.read_text() == f"X=1\n{MARK}\n"


def test_known_logins_are_read_from_the_file(probe, tmp_path):
    (tmp_path / "logins").write_text("admin 1 32\nsensor 2026-11.1 32\n")

    there = ("mqtt", "/there/logins")
    facts = probe(
        call("logins", tmp_path / "logins", *there), call("logins", tmp_path / "absent", *there)
    )

    assert facts.lines("known") == {"admin": "1 32", "sensor": "2026-11.1 32"}
    assert facts.line("login") == "root"


def test_known_logins_are_read_from_the_container_without_root(host, probe):
    """With `become: docker` only the broker can read the folder."""
    host.program("id", 'case "$1" in -un) echo sentient ;; *) echo 1000 ;; esac')
    host.program("sudo", "exit 1")
    host.docker(
        'case "$*" in *version*) echo 1 ;; *"exec mqtt cat /there/logins"*) echo "admin 1 32" ;;'
        " *) exit 1 ;; esac"
    )

    assert probe(call("logins", "/here", "mqtt", "/there/logins")).lines("known") == {
        "admin": "1 32"
    }
    assert probe(call("logins", "/here", "gone", "/there/logins")).lines("known") == {}


def test_start_digest_of_a_container(host, probe):
    host.docker(
        'case "$*" in *version*) echo 1 ;; *stack*) echo prod ;;'
        " *configuration*) echo d1gest ;; esac"
    )

    facts = probe(call("container", "mqtt", "/etc/mqtt", "prod"))

    assert (facts.line("container", "mqtt"), facts.line("configuration", "mqtt")) == (
        "prod",
        "d1gest",
    )


@pytest.mark.parametrize(
    ("address", "answer"),
    [("127.0.0.1", "present"), ("::1", "present"), ("10.77.7.7", "absent"), ("fd77::7", "absent")],
)
def test_an_address_that_the_host_lacks_is_reported(probe, address, answer):
    assert probe(Probe.address(ip_address(address))).line("address", address) == answer


def test_the_limit_of_open_files_is_reported(probe):
    assert probe(Probe.open_files()).most_open_files > 1000


@pytest.mark.parametrize(
    ("daemon", "image", "answer"),
    [
        ("28.0.1 amd64", "amd64", ""),
        ("28.0.1 amd64", "386", ""),
        ("28.0.1 arm64", "arm", ""),
        ("28.0.1 amd64", "arm64", "arm64 on amd64"),
        ("28.0.1 arm", "arm64", "arm64 on arm"),
        ("28.0.1", "arm64", ""),
        ("28.0.1 amd64", "", ""),
    ],
)
def test_an_image_for_another_processor_is_reported(host, probe, daemon, image, answer):
    if any(Path("/proc/sys/fs/binfmt_misc").glob("qemu-*")):
        answer = ""
    host.docker(f"case \"$*\" in *version*) echo {daemon} ;; *inspect*) echo '{image}' ;; esac")

    assert probe(Probe.image("image:1")).wrong_architecture("image:1") == answer
