"""The broker's image is the one that was named; a stand-in is allowed, rare, and says it is one."""

import io
import os
import subprocess
import tarfile
import time

import pytest

from bootstrap import apt, folders, image, progress
from bootstrap.daemon import ensure_daemon
from bootstrap.image import ImageError, ensure_image, stand_in

NAME = "eclipse-mosquitto:2.0.21"
STAND_IN = "localhost/mosquitto-from-debian:2.0.21-trixie"
NO_SUCH_HOST = (
    'echo "Error response from daemon: Get https://registry.example/v2/: dial tcp: lookup '
    'registry.example on 10.0.0.1:53: no such host" >&2; exit 1'
)
REAL_IMAGES = image.IMAGES


class Docker:
    """A daemon that has what the test says and remembers what it was given."""

    def __init__(self, machine, tmp_path) -> None:
        self.machine = machine
        self.has = tmp_path / "has"
        self.imported = tmp_path / "imported"
        self.pull(NO_SUCH_HOST)

    def pull(self, body: str, arch: str = "amd64") -> None:
        self.machine.program(
            "docker",
            f"""shift 2
case "$1 $2" in
version*) [ "$3" = "{{{{.Server.Arch}}}}" ] && echo {arch} || echo 20.10.24 ;;
"image inspect") [ -e "{self.has}" ] ;;
"image ls") [ ! -e "{self.imported}" ] || echo {STAND_IN} ;;
import*) cat >"{self.imported}" ;;
pull*) {body} ;;
esac""",
        )

    def did(self, what: str) -> list[str]:
        prefix = f"docker -H unix:///var/run/docker.sock {what}"
        return [call.removeprefix(prefix).strip() for call in self.machine.calls(prefix)]


@pytest.fixture
def docker(machine, tmp_path, monkeypatch) -> Docker:
    """A daemon without images that reaches no registry, and a quick build in place of the real."""
    monkeypatch.setattr(image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(image, "IMAGES", tmp_path / "images")
    image.IMAGES.mkdir()
    machine.program("mmdebstrap")
    debian(tmp_path, machine, "2.0.21-1+deb13u1")
    return Docker(machine, tmp_path)


def debian(tmp_path, machine, version: str) -> None:
    """Say which version of mosquitto the suites have."""
    control = f"Package: mosquitto\nVersion: {version}\n".encode()
    member = tarfile.TarInfo("./var/lib/dpkg/status.d/mosquitto")
    member.size = len(control)
    with tarfile.open(tmp_path / "rootfs.tar", "w") as archive:
        archive.addfile(member, io.BytesIO(control))
    build = image.IMAGES / "build.sh"
    build.write_text(
        f'#!/bin/sh\necho "build.sh $*" >>{machine.calls_file}\nexec cat {tmp_path}/rootfs.tar\n'
    )
    build.chmod(0o755)


def test_an_image_that_is_there_is_used_and_no_registry_is_asked(docker, capsys) -> None:
    docker.has.touch()
    assert ensure_image(NAME, ensure_daemon(), allow_stand_in=True) == image.Image(name=NAME)
    assert docker.did("pull") == []
    assert docker.did("import") == []
    assert capsys.readouterr().err == ""


def test_an_image_that_can_be_pulled_is_pulled(docker) -> None:
    docker.pull('echo "2.0.21: Pulling from library/eclipse-mosquitto"; echo "Digest: sha256:1"')
    found = ensure_image(NAME, ensure_daemon(), allow_stand_in=True)
    assert (found.name, found.stands_in_for) == (NAME, None)
    assert docker.did("pull") == [NAME]
    assert docker.did("import") == []


def test_a_slow_pull_that_has_begun_is_not_cut_short(docker, monkeypatch) -> None:
    monkeypatch.setattr(image, "SECONDS_FOR_A_FIRST_ANSWER", 0.5)
    docker.pull('echo "f18232174bc9: Pulling fs layer"; sleep 1.2; echo "Digest: sha256:1"')
    assert ensure_image(NAME, ensure_daemon(), allow_stand_in=True).name == NAME


@pytest.mark.parametrize("begins", ["true", 'echo "2.0.21: Pulling from library/x"'])
def test_a_registry_that_never_answers_is_given_up_on(docker, monkeypatch, begins) -> None:
    monkeypatch.setattr(image, "SECONDS_FOR_A_FIRST_ANSWER", 0.5)
    docker.pull(f"{begins}; exec sleep 60")
    began = time.monotonic()
    found = ensure_image(NAME, ensure_daemon(), allow_stand_in=True)
    assert time.monotonic() - began < 60 / 2
    assert found.name == STAND_IN


def test_with_a_stand_in_present_the_second_run_hardly_waits(docker, monkeypatch) -> None:
    ensure_image(NAME, ensure_daemon(), allow_stand_in=True)
    monkeypatch.setattr(image, "SECONDS_WITH_ONE_PRESENT", 0.3)
    docker.pull("exec sleep 60")
    began = time.monotonic()
    assert ensure_image(NAME, ensure_daemon(), allow_stand_in=True).name == STAND_IN
    assert time.monotonic() - began < 60 / 2
    assert len(docker.did("import")) == 1


def test_out_of_reach_of_a_registry_the_stand_in_is_built_and_said(docker, capsys) -> None:
    found = ensure_image(NAME, ensure_daemon(), allow_stand_in=True)
    assert found == image.Image(name=STAND_IN, stands_in_for=NAME)
    (imported,) = docker.did("import")
    assert imported.endswith(f"- {STAND_IN}")
    assert 'CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]' in imported
    assert 'LABEL sentient-mqtt.stand-in="eclipse-mosquitto"' in imported
    assert 'LABEL org.opencontainers.image.version="2.0.21-1+deb13u1"' in imported
    assert docker.imported.stat().st_size > 0
    spoken = capsys.readouterr().err
    assert f"using {STAND_IN}, built from Debian's packages, in place of {NAME}" in spoken
    assert "moved on" not in spoken


@pytest.mark.parametrize(
    "said",
    [
        "dial tcp: lookup registry.example: Temporary failure in name resolution",
        "dial tcp 192.0.2.1:443: i/o timeout",
        "dial tcp 192.0.2.1:443: connect: connection refused",
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
        "net/http: TLS handshake timeout",
        "dial tcp 192.0.2.1:443: connect: network is unreachable",
    ],
)
def test_each_way_of_not_reaching_a_registry_is_known(docker, said) -> None:
    docker.pull(f"echo 'Error response from daemon: Get x: {said}' >&2; exit 1")
    assert ensure_image(NAME, ensure_daemon(), allow_stand_in=True).name == STAND_IN


@pytest.mark.parametrize(
    "said",
    [
        "manifest for eclipse-mosquitto:2.0.21 not found: manifest unknown",
        "pull access denied for x, repository does not exist or may require 'docker login'",
        "toomanyrequests: You have reached your pull rate limit.",
    ],
)
def test_a_registry_that_says_no_is_not_stood_in_for(docker, said) -> None:
    docker.pull(f'echo "Error response from daemon: {said}" >&2; exit 1')
    with pytest.raises(ImageError, match=r"the registry answered, but gave no image") as failure:
        ensure_image(NAME, ensure_daemon(), allow_stand_in=True)
    assert said.split(":")[0] in str(failure.value)
    assert docker.did("import") == []


def test_a_stack_that_allows_no_stand_in_gets_none(docker) -> None:
    with pytest.raises(
        ImageError, match=r"runs no stand-in.*docker save .* docker load"
    ) as failure:
        ensure_image(NAME, ensure_daemon(), allow_stand_in=False)
    assert "no such host" in str(failure.value)
    assert docker.did("import") == []
    assert docker.machine.calls("build.sh") == []


@pytest.mark.parametrize(
    "name",
    [
        "eclipse-mosquitto:2.1.2",
        "eclipse-mosquitto:2",
        "eclipse-mosquitto:2.0.21@sha256:0123",
        "example/eclipse-mosquitto:2.0.21",
        "rabbitmq:4.0.5",
    ],
)
def test_what_the_stand_in_is_not_it_does_not_stand_in_for(docker, name) -> None:
    with pytest.raises(ImageError, match=r"nothing can stand in for it: .*2\.0 line"):
        ensure_image(name, ensure_daemon(), allow_stand_in=True)
    assert docker.did("import") == []


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        "eclipse-mosquitto:2.0",
        "eclipse-mosquitto:2.0.22-openssl",
        "docker.io/library/eclipse-mosquitto:2.0.18",
    ],
)
def test_the_whole_line_is_stood_in_for(name) -> None:
    assert image.recipe_for(name) is image.MOSQUITTO


def test_the_exporter_is_stood_in_for_by_a_recipe_of_its_own() -> None:
    assert image.recipe_for("ghcr.io/hikhvar/mqtt2prometheus:v0.1.7") is image.EXPORTER
    for other in (
        "ghcr.io/hikhvar/mqtt2prometheus:v0.2.0",
        "ghcr.io/hikhvar/mqtt2prometheus:v0.1.7@sha256:" + "0" * 64,
        "ghcr.io/somebody/mqtt2prometheus:v0.1.7",
    ):
        assert image.recipe_for(other) is None


def test_a_stack_may_name_the_image_from_debian_itself(docker) -> None:
    found = ensure_image(STAND_IN, ensure_daemon(), allow_stand_in=False)
    assert found == image.Image(name=STAND_IN)
    assert docker.did("pull") == [], "localhost is no registry to ask"


@pytest.mark.parametrize("tag", ["2.0.18-trixie", "2.0.21-sid", "2.0.21"])
def test_an_image_from_debian_that_debian_does_not_make_is_refused(docker, tag) -> None:
    with pytest.raises(ImageError, match=f"no such image can be built.* Name {STAND_IN} in the"):
        ensure_image(f"localhost/mosquitto-from-debian:{tag}", ensure_daemon(), allow_stand_in=True)
    assert docker.did("pull") == []


def test_a_second_import_uses_the_tar_in_the_cache(docker) -> None:
    stand_in("trixie", ensure_daemon())
    docker.imported.unlink()  # as after docker rmi
    stand_in("trixie", ensure_daemon())
    assert docker.machine.calls("build.sh") == ["build.sh trixie mosquitto"]
    assert len(docker.did("import")) == 2


def test_another_recipe_is_another_tar(docker) -> None:
    stand_in("trixie", ensure_daemon())
    docker.imported.unlink()
    (image.IMAGES / "after-extract.sh").write_text("# changed\n")
    (image.IMAGES / "README.md").write_text("prose is no recipe\n")
    stand_in("trixie", ensure_daemon())
    assert docker.machine.calls("build.sh") == ["build.sh trixie mosquitto"] * 2
    (image.IMAGES / "README.md").write_text("more prose\n")
    docker.imported.unlink()
    stand_in("trixie", ensure_daemon())
    assert len(docker.machine.calls("build.sh")) == 2


def test_a_build_that_fails_leaves_nothing_that_looks_like_an_image(docker) -> None:
    build = image.IMAGES / "build.sh"
    build.write_text("#!/bin/sh\necho half a tar\necho 'E: no space left' >&2\nexit 1\n")
    with pytest.raises(progress.FailedError, match="no space left"):
        stand_in("trixie", ensure_daemon())
    assert list((folders.cache() / "images").glob("*.tar")) == []
    assert docker.did("import") == []


def test_mmdebstrap_is_installed_where_it_is_missing(docker, tmp_path, monkeypatch) -> None:
    (docker.machine.bin / "mmdebstrap").unlink()
    docker.machine.program("apt-get")
    monkeypatch.setattr(apt, "DEBIAN", tmp_path / "debian_version")
    apt.DEBIAN.touch()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    stand_in("trixie", ensure_daemon())
    assert docker.machine.calls("apt-get")[-1].endswith("mmdebstrap debian-archive-keyring")


def test_a_later_release_of_the_line_is_called_what_it_is(docker, tmp_path, capsys) -> None:
    debian(tmp_path, docker.machine, "2.0.22-1~deb13u2")
    found = stand_in("trixie", ensure_daemon())
    assert found.name == "localhost/mosquitto-from-debian:2.0.22-trixie"
    assert "moved on from Mosquitto 2.0.21 to 2.0.22" in capsys.readouterr().err


def test_another_line_is_refused(docker, tmp_path) -> None:
    debian(tmp_path, docker.machine, "2.1.5-1")
    with pytest.raises(ImageError, match=r"trixie now has Mosquitto 2\.1\.5-1; .*proven with 2\.0"):
        stand_in("trixie", ensure_daemon())
    assert docker.did("import") == []


def test_another_architecture_is_refused_before_anything_is_built(docker) -> None:
    docker.pull(NO_SUCH_HOST, arch="arm64")
    with pytest.raises(ImageError, match="is arm64, and an image built on this amd64 machine"):
        stand_in("trixie", ensure_daemon())
    assert docker.machine.calls("build.sh") == []


def test_over_ssh_the_tar_travels_through_stdin(docker) -> None:
    # Like sshd: what stands after the destination is one command line for the remote shell.
    docker.machine.program("ssh", 'while [ $# -gt 1 ]; do shift; done; exec sh -c "$1"')
    found = ensure_image(NAME, ensure_daemon("ssh://sentient@192.168.2.3"), allow_stand_in=True)
    assert found.name == STAND_IN
    (imported,) = docker.did("import")
    assert '--change=VOLUME ["/mosquitto/data", "/mosquitto/log"]' in imported
    assert docker.imported.read_bytes()[:2] == b"./"


@pytest.mark.parametrize(
    ("debian_version", "upstream"),
    [
        ("2.0.21-1", "2.0.21"),
        ("2.0.21-1+deb13u1", "2.0.21"),
        ("2.0.21-1~bpo12+1", "2.0.21"),
        ("1:2.1.2+dfsg-3", "2.1.2"),
        ("2.1.2", "2.1.2"),
    ],
)
def test_the_name_holds_mosquittos_own_version(debian_version, upstream) -> None:
    assert image.upstream_version(debian_version) == upstream


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ((), "say one suite of Debian"),
        (("trixie", "mosquitto", "forky"), "say one suite of Debian"),
        (("trixie", "nginx"), "nginx: only mosquitto and prometheus-mqtt-exporter"),
        (("bookworm",), "bookworm: only trixie"),
        (("trixie; reboot",), "trixie; reboot: only trixie"),
    ],
)
def test_build_refuses_what_is_not_proven(argv, sentence) -> None:
    result = subprocess.run(
        [REAL_IMAGES / "build.sh", *argv], check=False, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_build_asks_for_root_and_for_its_tool(docker) -> None:
    docker.machine.program("id", "echo 1000")
    result = run_build()
    assert "only root can build it" in result.stderr or "neither Debian nor Ubuntu" in result.stderr
    docker.machine.program("id", "echo 0")
    (docker.machine.bin / "mmdebstrap").unlink()
    result = run_build()
    assert "apt-get install mmdebstrap" in result.stderr or "neither Debian" in result.stderr
    assert result.returncode == 2


def run_build() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", REAL_IMAGES / "build.sh", "trixie"], check=False, capture_output=True, text=True
    )
