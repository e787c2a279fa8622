"""The configured image is pulled; without a registry, an allowed fallback image is built."""

import io
import os
import subprocess
import tarfile
import time

import pytest

from bootstrap import apt, broker_image, folders, progress
from bootstrap.broker_image import ImageError, ensure_image, fallback_image
from bootstrap.docker_daemon import ensure_daemon

NAME = "eclipse-mosquitto:2.0.21"
FALLBACK = "localhost/mosquitto-from-debian:2.0.21-trixie"
NO_SUCH_HOST = (
    'echo "Error response from daemon: Get https://registry.example/v2/: dial tcp: lookup '
    'registry.example on 10.0.0.1:53: no such host" >&2; exit 1'
)
REAL_IMAGES = broker_image.IMAGES


class Docker:
    """A fake daemon that records its calls."""

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
"image ls") [ ! -e "{self.imported}" ] || echo {FALLBACK} ;;
import*) cat >"{self.imported}" ;;
pull*) {body} ;;
esac""",
        )

    def calls(self, command: str) -> list[str]:
        prefix = f"docker -H unix:///var/run/docker.sock {command}"
        return [call.removeprefix(prefix).strip() for call in self.machine.calls(prefix)]


@pytest.fixture
def docker(machine, tmp_path, monkeypatch) -> Docker:
    """A daemon without images that reaches no registry, and a fast fake of images/build.sh."""
    monkeypatch.setattr(broker_image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(broker_image, "IMAGES", tmp_path / "images")
    broker_image.IMAGES.mkdir()
    machine.program("mmdebstrap")
    debian(tmp_path, machine, "2.0.21-1+deb13u1")
    return Docker(machine, tmp_path)


def debian(tmp_path, machine, version: str) -> None:
    """Set the version of mosquitto in every suite."""
    control = f"Package: mosquitto\nVersion: {version}\n".encode()
    member = tarfile.TarInfo("./var/lib/dpkg/status.d/mosquitto")
    member.size = len(control)
    with tarfile.open(tmp_path / "rootfs.tar", "w") as archive:
        archive.addfile(member, io.BytesIO(control))
    build = broker_image.IMAGES / "build.sh"
    build.write_text(
        f'#!/bin/sh\necho "build.sh $*" >>{machine.calls_file}\nexec cat {tmp_path}/rootfs.tar\n'
    )
    build.chmod(0o755)


def test_a_present_image_is_used_without_a_pull(docker, capsys) -> None:
    docker.has.touch()
    assert ensure_image(NAME, ensure_daemon(), allow_fallback=True) == broker_image.Image(name=NAME)
    assert docker.calls("pull") == []
    assert docker.calls("import") == []
    assert capsys.readouterr().err == ""


def test_a_missing_image_is_pulled(docker) -> None:
    docker.pull('echo "2.0.21: Pulling from library/eclipse-mosquitto"; echo "Digest: sha256:1"')
    found = ensure_image(NAME, ensure_daemon(), allow_fallback=True)
    assert (found.name, found.fallback_for) == (NAME, None)
    assert docker.calls("pull") == [NAME]
    assert docker.calls("import") == []


def test_the_timeout_does_not_apply_once_layers_arrive(docker, monkeypatch) -> None:
    monkeypatch.setattr(broker_image, "SECONDS_FOR_FIRST_ANSWER", 0.5)
    docker.pull('echo "f18232174bc9: Pulling fs layer"; sleep 1.2; echo "Digest: sha256:1"')
    assert ensure_image(NAME, ensure_daemon(), allow_fallback=True).name == NAME


@pytest.mark.parametrize("begins", ["true", 'echo "2.0.21: Pulling from library/x"'])
def test_a_registry_that_never_answers_times_out(docker, monkeypatch, begins) -> None:
    monkeypatch.setattr(broker_image, "SECONDS_FOR_FIRST_ANSWER", 0.5)
    docker.pull(f"{begins}; exec sleep 60")
    began = time.monotonic()
    found = ensure_image(NAME, ensure_daemon(), allow_fallback=True)
    assert time.monotonic() - began < 60 / 2
    assert found.name == FALLBACK


def test_the_timeout_is_short_if_the_fallback_image_is_present(docker, monkeypatch) -> None:
    ensure_image(NAME, ensure_daemon(), allow_fallback=True)
    monkeypatch.setattr(broker_image, "SECONDS_WITH_FALLBACK_PRESENT", 0.3)
    docker.pull("exec sleep 60")
    began = time.monotonic()
    assert ensure_image(NAME, ensure_daemon(), allow_fallback=True).name == FALLBACK
    assert time.monotonic() - began < 60 / 2
    assert len(docker.calls("import")) == 1


def test_without_a_registry_the_fallback_image_is_built_and_reported(docker, capsys) -> None:
    found = ensure_image(NAME, ensure_daemon(), allow_fallback=True)
    assert found == broker_image.Image(name=FALLBACK, fallback_for=NAME)
    (imported,) = docker.calls("import")
    assert imported.endswith(f"- {FALLBACK}")
    assert 'CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]' in imported
    assert 'LABEL sentient-mqtt.stand-in="eclipse-mosquitto"' in imported
    assert 'LABEL org.opencontainers.image.version="2.0.21-1+deb13u1"' in imported
    assert docker.imported.stat().st_size > 0
    stderr = capsys.readouterr().err
    assert (
        f"using the fallback image {FALLBACK}, built from Debian's packages, in place of {NAME}"
    ) in stderr
    assert "now has Mosquitto" not in stderr


@pytest.mark.parametrize(
    "error",
    [
        "dial tcp: lookup registry.example: Temporary failure in name resolution",
        "dial tcp 192.0.2.1:443: i/o timeout",
        "dial tcp 192.0.2.1:443: connect: connection refused",
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
        "net/http: TLS handshake timeout",
        "dial tcp 192.0.2.1:443: connect: network is unreachable",
    ],
)
def test_every_network_error_leads_to_the_fallback_image(docker, error) -> None:
    docker.pull(f"echo 'Error response from daemon: Get x: {error}' >&2; exit 1")
    assert ensure_image(NAME, ensure_daemon(), allow_fallback=True).name == FALLBACK


@pytest.mark.parametrize(
    "error",
    [
        "manifest for eclipse-mosquitto:2.0.21 not found: manifest unknown",
        "pull access denied for x, repository does not exist or may require 'docker login'",
        "toomanyrequests: You have reached your pull rate limit.",
    ],
)
def test_an_error_from_the_registry_leads_to_no_fallback_image(docker, error) -> None:
    docker.pull(f'echo "Error response from daemon: {error}" >&2; exit 1')
    with pytest.raises(ImageError, match=r"the registry answered without an image") as failure:
        ensure_image(NAME, ensure_daemon(), allow_fallback=True)
    assert error.split(":")[0] in str(failure.value)
    assert docker.calls("import") == []


def test_no_fallback_image_is_built_unless_the_stack_allows_it(docker) -> None:
    with pytest.raises(
        ImageError, match=r"does not allow a fallback image.*docker save .* docker load"
    ) as failure:
        ensure_image(NAME, ensure_daemon(), allow_fallback=False)
    assert "no such host" in str(failure.value)
    assert docker.calls("import") == []
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
def test_other_images_have_no_fallback(docker, name) -> None:
    with pytest.raises(ImageError, match=r"there is no fallback image for it: .*2\.0 line"):
        ensure_image(name, ensure_daemon(), allow_fallback=True)
    assert docker.calls("import") == []


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        "eclipse-mosquitto:2.0",
        "eclipse-mosquitto:2.0.22-openssl",
        "docker.io/library/eclipse-mosquitto:2.0.18",
    ],
)
def test_every_tag_of_the_release_line_has_a_fallback(name) -> None:
    assert broker_image.recipe_for(name) is broker_image.MOSQUITTO


def test_the_exporter_has_its_own_recipe() -> None:
    recipe = broker_image.recipe_for("ghcr.io/hikhvar/mqtt2prometheus:v0.1.7")
    assert recipe is broker_image.EXPORTER
    for other in (
        "ghcr.io/hikhvar/mqtt2prometheus:v0.2.0",
        "ghcr.io/hikhvar/mqtt2prometheus:v0.1.7@sha256:" + "0" * 64,
        "ghcr.io/somebody/mqtt2prometheus:v0.1.7",
    ):
        assert broker_image.recipe_for(other) is None


def test_a_stack_may_name_the_fallback_image_itself(docker) -> None:
    found = ensure_image(FALLBACK, ensure_daemon(), allow_fallback=False)
    assert found == broker_image.Image(name=FALLBACK)
    assert docker.calls("pull") == [], "localhost is not a registry"


@pytest.mark.parametrize("tag", ["2.0.18-trixie", "2.0.21-sid", "2.0.21"])
def test_a_fallback_image_that_cannot_be_built_is_an_error(docker, tag) -> None:
    with pytest.raises(
        ImageError, match=f"no such image can be built.* Set the image to {FALLBACK} "
    ):
        ensure_image(f"localhost/mosquitto-from-debian:{tag}", ensure_daemon(), allow_fallback=True)
    assert docker.calls("pull") == []


def test_a_second_import_uses_the_tar_in_the_cache(docker) -> None:
    fallback_image("trixie", ensure_daemon())
    docker.imported.unlink()  # docker rmi
    fallback_image("trixie", ensure_daemon())
    assert docker.machine.calls("build.sh") == ["build.sh trixie mosquitto"]
    assert len(docker.calls("import")) == 2


def test_a_changed_recipe_is_built_again(docker) -> None:
    fallback_image("trixie", ensure_daemon())
    docker.imported.unlink()
    (broker_image.IMAGES / "after-extract.sh").write_text("# changed\n")
    (broker_image.IMAGES / "README.md").write_text("prose\n")
    fallback_image("trixie", ensure_daemon())
    assert docker.machine.calls("build.sh") == ["build.sh trixie mosquitto"] * 2
    (broker_image.IMAGES / "README.md").write_text("more prose\n")
    docker.imported.unlink()
    fallback_image("trixie", ensure_daemon())
    assert len(docker.machine.calls("build.sh")) == 2


def test_a_failed_build_leaves_no_tar_and_imports_nothing(docker) -> None:
    build = broker_image.IMAGES / "build.sh"
    build.write_text("#!/bin/sh\necho half a tar\necho 'E: no space left' >&2\nexit 1\n")
    with pytest.raises(progress.FailedError, match="no space left"):
        fallback_image("trixie", ensure_daemon())
    assert list((folders.cache() / "images").glob("*.tar")) == []
    assert docker.calls("import") == []


def test_missing_mmdebstrap_is_installed(docker, tmp_path, monkeypatch) -> None:
    (docker.machine.bin / "mmdebstrap").unlink()
    docker.machine.program("apt-get")
    monkeypatch.setattr(apt, "DEBIAN", tmp_path / "debian_version")
    apt.DEBIAN.touch()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    fallback_image("trixie", ensure_daemon())
    assert docker.machine.calls("apt-get")[-1].endswith("mmdebstrap debian-archive-keyring")


def test_the_name_has_the_version_of_a_later_release(docker, tmp_path, capsys) -> None:
    debian(tmp_path, docker.machine, "2.0.22-1~deb13u2")
    found = fallback_image("trixie", ensure_daemon())
    assert found.name == "localhost/mosquitto-from-debian:2.0.22-trixie"
    assert "now has Mosquitto 2.0.22 instead of 2.0.21" in capsys.readouterr().err


def test_another_release_line_is_an_error(docker, tmp_path) -> None:
    debian(tmp_path, docker.machine, "2.1.5-1")
    with pytest.raises(ImageError, match=r"trixie now has Mosquitto 2\.1\.5-1; .*tested with 2\.0"):
        fallback_image("trixie", ensure_daemon())
    assert docker.calls("import") == []


def test_another_architecture_is_an_error_before_the_build(docker) -> None:
    docker.pull(NO_SUCH_HOST, arch="arm64")
    with pytest.raises(ImageError, match="architecture is arm64; an image built on this amd64 "):
        fallback_image("trixie", ensure_daemon())
    assert docker.machine.calls("build.sh") == []


def test_over_ssh_the_tar_is_sent_on_stdin(docker) -> None:
    # Like sshd: the words after the destination are one command line for the remote shell.
    docker.machine.program("ssh", 'while [ $# -gt 1 ]; do shift; done; exec sh -c "$1"')
    found = ensure_image(NAME, ensure_daemon("ssh://sentient@192.168.2.3"), allow_fallback=True)
    assert found.name == FALLBACK
    (imported,) = docker.calls("import")
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
def test_upstream_version_of_a_debian_version(debian_version, upstream) -> None:
    assert broker_image.upstream_version(debian_version) == upstream


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "say one suite of Debian"),
        (("trixie", "mosquitto", "forky"), "say one suite of Debian"),
        (("trixie", "nginx"), "nginx: only mosquitto and prometheus-mqtt-exporter"),
        (("bookworm",), "bookworm: only trixie"),
        (("trixie; reboot",), "trixie; reboot: only trixie"),
    ],
)
def test_build_refuses_untested_suites_and_packages(argv, message) -> None:
    result = subprocess.run(
        [REAL_IMAGES / "build.sh", *argv], check=False, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_build_names_missing_requirements(docker) -> None:
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
