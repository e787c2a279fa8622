"""A look at the host says what is there, names who has a port, and changes nothing."""

import os
import socket
import subprocess

import pytest
from host_under_test import SOCKET, call

from broker.credentials.env_files import env_file_mark
from broker.host.facts import HostFacts

MARK = env_file_mark("prod")
ON_HOST = ("0750", 1883, 1883, "mosquitto.db")
ANSWERS = 'case "$*" in *version*) echo 28.0.1 ;; *" ps "*) ;; *) exit 1 ;; esac'


@pytest.fixture
def look(host):
    host.docker(ANSWERS)

    def ask(*calls):
        done = host.run("commands/probe.sh", call("host", SOCKET), *calls, action="look")
        assert done.stderr == ""
        return HostFacts.parse(done.stdout)

    return ask


def test_it_says_who_it_is_and_that_it_came_to_its_end(look):
    seen = look()

    assert seen.line("login") == "root"
    assert seen.line("root") == "yes"
    assert seen.line("docker") == "ok"
    assert seen.line("probe") == "done"


def test_docker_that_does_not_answer_is_quoted_and_asked_nothing_more(host, look):
    host.docker('echo "Cannot connect to" >&2; echo "the daemon" >&2; exit 1')

    seen = look(call("image", "image:1"), call("container", "mqtt"), call("port", 1883, "prod"))

    assert seen.line("docker") == "Cannot connect to the daemon"
    assert len(host.calls()) == 1
    assert seen.line("probe") == "done"


def test_a_host_without_docker_says_so(host, look, monkeypatch):
    host.docker("exit 1")
    (host.bin / "docker").unlink()
    # All but docker.
    for tool in ("sh", "id", "tr", "dirname", "awk", "head", "cat", "stat"):
        (host.bin / tool).symlink_to(f"/usr/bin/{tool}")
    monkeypatch.setenv("PATH", str(host.bin))

    assert look().line("docker") == "absent"


def test_a_login_without_root_says_so(host, look):
    host.program("id", 'case "$1" in -un) echo sentient ;; *) echo 1000 ;; esac')
    host.program("sudo", "exit 1")

    seen = look(call("folder", "/srv/data", *ON_HOST))

    assert seen.line("login") == "sentient"
    assert seen.line("root") == "no"
    # There is no telling what another owner's folder hides.
    assert seen.line("folder", "/srv/data") == ""
    assert host.calls("sudo") == ["sudo -n true"]


def test_a_port_that_a_program_has_is_named(look):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = look(call("port", port, "prod")).line("port", str(port))
    assert taken == f"another program (ss -ltnp 'sport = :{port}' shows which)"
    assert look(call("port", port, "prod")).line("port", str(port)) == "free"


def test_also_one_that_a_program_has_on_ipv6_alone(look):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert (
            look(call("port", port, "prod")).line("port", str(port)).startswith("another program")
        )


def test_a_port_that_is_only_dialled_is_free(look):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        assert look(call("port", port, "prod")).line("port", str(port)) == "free"


@pytest.mark.parametrize(
    ("publishers", "answer"),
    [
        ("mosquitto-prod prod", "ours"),
        ("other dev", "container other"),
        ("other ", "container other"),
        ("mosquitto-prod prod\nother", "container other"),
    ],
)
def test_a_port_that_a_container_has_is_ours_or_named(host, look, publishers, answer):
    host.docker(f"case \"$*\" in *version*) echo 1 ;; *' ps '*) printf '{publishers}\\n' ;; esac")

    assert look(call("port", 1883, "prod")).line("port", "1883") == answer


@pytest.mark.parametrize(
    ("docker", "owner"),
    [("echo prod", "prod"), ("echo", "made by hand"), ("exit 1", "none")],
)
def test_a_container_is_whose_label_it_has(host, look, docker, owner):
    host.docker(f'case "$*" in *version*) echo 1 ;; *) {docker} ;; esac')

    assert look(call("container", "mqtt")).line("container", "mqtt") == owner


def test_images_are_there_or_not_and_the_newest_stands_in(host, look):
    host.docker(
        'case "$*" in *version*) echo 1 ;; *"inspect"*"image:1") echo x ;; *inspect*) exit 1 ;;'
        ' *"image ls"*) echo local:2; echo local:1 ;; esac'
    )

    seen = look(call("image", "image:1"), call("image", "image:2"), call("standin", "local:*"))

    assert seen.line("image", "image:1") == "present"
    assert seen.line("image", "image:2") == "absent"
    assert seen.line("standin", "local:*") == "local:2"


def test_folders_that_can_be_made_or_are_there_will_do_and_are_not_made(look, tmp_path):
    (tmp_path / "there").mkdir()

    seen = look(
        call("folder", tmp_path / "there", *ON_HOST), call("folder", tmp_path / "a" / "b", *ON_HOST)
    )

    assert seen.line("folder", str(tmp_path / "there")) == "ok"
    assert seen.line("folder", str(tmp_path / "a" / "b")) == "ok"
    assert not (tmp_path / "a").exists()


def test_a_folder_that_is_something_else_will_not_do(look, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    seen = look(
        call("folder", tmp_path / "file", *ON_HOST),
        call("folder", tmp_path / "file" / "below", *ON_HOST),
        call("folder", tmp_path / "link", *ON_HOST),
    )

    for path in ("file", "file/below"):
        assert seen.line("folder", f"{tmp_path}/{path}") == (
            f"{tmp_path}/file is there and is not a folder"
        )
    assert seen.line("folder", f"{tmp_path}/link") == "is a symbolic link"


@pytest.mark.parametrize("kind", [ON_HOST, ("0700", "archives", 0, "*.tar.gz")])
def test_a_folder_that_another_user_could_move_will_not_do(look, tmp_path, kind):
    (tmp_path / "home" / "mqtt").mkdir(parents=True)
    os.chown(tmp_path / "home", 1000, 1000)

    seen = look(call("folder", tmp_path / "home" / "mqtt", *kind))

    assert seen.line("folder", f"{tmp_path}/home/mqtt") == (
        f"{tmp_path}/home belongs to user 1000, who could replace what root writes below it "
        f"(chown root {tmp_path}/home)"
    )


def test_of_data_the_last_folder_is_the_brokers_and_of_archives_none_is(look, tmp_path):
    for name in ("data", "archives"):
        (tmp_path / name).mkdir(mode=0o750)
        os.chown(tmp_path / name, 1883, 1883)

    seen = look(
        call("folder", tmp_path / "data", *ON_HOST),
        call("folder", tmp_path / "archives", "0700", "archives", 0),
    )

    assert seen.line("folder", str(tmp_path / "data")) == "ok"
    assert "belongs to user 1883" in seen.line("folder", str(tmp_path / "archives"))


@pytest.mark.parametrize(
    ("name", "found", "answer"),
    [
        ("mosquitto.db", (0, 0o755), "ok"),
        ("authorized_keys", (0, 0o700), "is there already and holds what is not the broker's"),
        # As it is to be: nothing is taken from anybody.
        ("notes.txt", (1883, 0o750), "ok"),
    ],
)
def test_a_folder_of_another_program_will_not_do(look, tmp_path, name, found, answer):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / name).write_text("x")
    owner, bits = found
    os.chown(folder, owner, owner)
    folder.chmod(bits)

    assert look(call("folder", folder, *ON_HOST)).line("folder", str(folder)).startswith(answer)


def test_an_env_file_may_lie_in_a_folder_of_the_application(look, tmp_path):
    app = tmp_path / "app"
    (app / "below").mkdir(parents=True)
    os.chown(app, 1000, 1000)
    (app / "link").symlink_to("/etc/passwd")
    (app / "theirs").write_text("X=1\n")
    paths = [app / "new", app / "link", app / "theirs", app / "below" / "new"]

    seen = look(*(call("envfile", path, MARK) for path in paths))

    assert [seen.line("envfile", str(path)) for path in paths] == [
        "ok",
        "is a symbolic link",
        "is there already and was not written by this program",
        f"{app} belongs to user 1000, who could replace what root writes below it "
        f"(chown root {app}). Of the folders on the way to it only the last may be another user's",
    ]


def test_a_disk_of_the_application_is_no_place_for_an_env_file(look, mount, tmp_path):
    disk = mount(tmp_path / "disk", "size=64k,mode=755,uid=1000")

    found = look(call("envfile", disk / "env", MARK)).line("envfile", f"{disk}/env")

    assert found.startswith(f"{disk} is a file system of its own, and {disk} belongs to user 1000")


def test_a_read_only_disk_will_not_do(look, mount, tmp_path):
    disk = mount(tmp_path / "disk", "size=64k,mode=755")
    (disk / "mqtt.env").write_text(f"{MARK}\nX=1\n")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    seen = look(
        call("folder", disk / "data", *ON_HOST),
        call("envfile", disk / "mqtt.env", MARK),
        call("envfile", disk / "new.env", MARK),
    )

    said = f"{disk} can't be written to (a read-only file system?)"
    assert seen.line("folder", f"{disk}/data") == said
    assert seen.line("envfile", f"{disk}/mqtt.env") == said
    assert seen.line("envfile", f"{disk}/new.env") == said


def test_an_env_file_is_ours_by_its_first_line(look, tmp_path):
    ours, dev, theirs = (tmp_path / name for name in ("ours", "dev", "theirs"))
    ours.write_text(f"{MARK}\nMQTT_USERNAME=x\n")
    dev.write_text(f"{env_file_mark('dev')}\nMQTT_USERNAME=x\n")
    theirs.write_text(f"X=1\n{MARK}\n")

    seen = look(
        *(call("envfile", each, MARK) for each in (ours, dev, theirs)),
        call("envfile", tmp_path, MARK),
        call("envfile", tmp_path / "new" / "env", MARK),
        call("envfile", theirs / "below", MARK),
    )

    assert seen.line("envfile", str(ours)) == "ok"
    assert seen.line("envfile", str(tmp_path / "new" / "env")) == "ok"
    for each in (dev, theirs):
        assert seen.line("envfile", str(each)) == (
            "is there already and was not written by this program"
        )
    assert seen.line("envfile", str(tmp_path)) == "is a folder"
    assert seen.line("envfile", f"{theirs}/below") == f"{theirs} is there and is not a folder"
    assert theirs.read_text() == f"X=1\n{MARK}\n"


def test_what_the_broker_knows_is_read_line_by_line(look, tmp_path):
    (tmp_path / "logins").write_text("admin 1 32\nsensor 2026-11.1 32\n")

    there = ("mqtt", "/there/logins")
    seen = look(
        call("logins", tmp_path / "logins", *there), call("logins", tmp_path / "absent", *there)
    )

    assert seen.lines("known") == {"admin": "1 32", "sensor": "2026-11.1 32"}
    assert seen.line("login") == "root"


def test_who_has_no_root_is_told_by_the_container_what_its_broker_knows(host, look):
    """As with `become: docker`, where the folder is the broker's alone."""
    host.program("id", 'case "$1" in -un) echo sentient ;; *) echo 1000 ;; esac')
    host.program("sudo", "exit 1")
    host.docker(
        'case "$*" in *version*) echo 1 ;; *"exec mqtt cat /there/logins"*) echo "admin 1 32" ;;'
        " *) exit 1 ;; esac"
    )

    assert look(call("logins", "/here", "mqtt", "/there/logins")).lines("known") == {
        "admin": "1 32"
    }
    assert look(call("logins", "/here", "gone", "/there/logins")).lines("known") == {}


def test_a_container_has_the_digest_of_its_start(host, look):
    host.docker(
        'case "$*" in *version*) echo 1 ;; *stack*) echo prod ;;'
        " *configuration*) echo d1gest ;; esac"
    )

    seen = look(call("container", "mqtt"))

    assert (seen.line("container", "mqtt"), seen.line("configuration", "mqtt")) == (
        "prod",
        "d1gest",
    )
