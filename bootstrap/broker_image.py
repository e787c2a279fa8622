"""Make sure that the host has the broker's image: the configured one, or a fallback image."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import queue
import re
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bootstrap import apt, folders, progress
from bootstrap.docker_daemon import Daemon
from broker.host.transport import host_environment

IMAGES = Path(__file__).resolve().parent.parent / "images"
SOURCE_LABEL = "sentient-mqtt.source"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How images/ builds a fallback image from Debian's packages, and which image it replaces."""

    package: str
    """The Debian package that gives the image its version; also an argument of images/build.sh."""
    official: str
    """The official image, without a tag."""
    fallback: str
    """The fallback image, without a tag."""
    expected: Mapping[str, str]
    """The tested version, by suite; a later version must be of the same release line."""
    tag: str
    """The tag of the official image with the same release as the one in ``FALLBACK_SUITE``."""
    title: str
    """The software's name in messages."""
    changes: tuple[str, ...]
    """Dockerfile instructions for ``docker import --change``."""


_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MOSQUITTO = Recipe(
    package="mosquitto",
    official="eclipse-mosquitto",
    fallback="localhost/mosquitto-from-debian",
    expected={"trixie": "2.0.21", "forky": "2.1.2"},
    tag="2.0.21",
    title="Mosquitto",
    changes=(
        'CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]',
        'VOLUME ["/mosquitto/data", "/mosquitto/log"]',
        "EXPOSE 1883",
        _PATH,
    ),
)
EXPORTER = Recipe(
    package="prometheus-mqtt-exporter",
    official="ghcr.io/hikhvar/mqtt2prometheus",
    fallback="localhost/mqtt2prometheus-from-debian",
    expected={"trixie": "0.1.7"},
    tag="v0.1.7",
    title="mqtt2prometheus",
    changes=('CMD ["/mqtt2prometheus"]', "EXPOSE 9641", _PATH),
)
RECIPES = (MOSQUITTO, EXPORTER)
FALLBACK_SUITE = "trixie"
"""The suite for stacks: a stable release. The other suites are for tests."""

# How long to wait for a registry's list of layers. Without a limit, the daemon tries an
# unreachable registry for minutes. The limit is shorter if the fallback image is present already,
# and longer if there is no fallback image for the configured one.
SECONDS_FOR_FIRST_ANSWER = 10.0
SECONDS_WITH_FALLBACK_PRESENT = 3.0
SECONDS_WITHOUT_FALLBACK = 60.0
_ANSWERED = re.compile(
    r"Pulling fs layer|Waiting|Downloading|Download complete|Pull complete|Already exists"
    r"|Digest:|Status:"
)
_UNREACHABLE = re.compile(
    r"no such host|lookup .*(?:failure|timeout|misbehaving)|connection refused|i/o timeout"
    r"|network is unreachable|no route to host|Client\.Timeout|context deadline exceeded"
    r"|TLS handshake timeout|proxyconnect|connection reset|EOF$|request canceled",
    re.IGNORECASE | re.MULTILINE,
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class ImageError(RuntimeError):
    """The host has no image to run; the message contains the fix."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that the daemon has."""

    name: str
    """The image to create a container from."""

    fallback_for: str | None = None
    """The official image that it replaces; None if it is not a fallback image."""


def ensure_image(name: str, daemon: Daemon, *, allow_fallback: bool) -> Image:
    """
    Return the image *name*; pull it if the daemon does not have it.

    If the registry cannot be reached and *allow_fallback* is set, build a fallback image from
    Debian's packages, under a different name, and report that.
    """
    if daemon.run("image", "inspect", "--format", "{{.Id}}", name).returncode == 0:
        return Image(name=name)
    for recipe in RECIPES:
        if name.startswith(f"{recipe.fallback}:"):
            return _requested_fallback(name, daemon, recipe)
    replacement = recipe_for(name) if allow_fallback else None
    timeout = SECONDS_WITHOUT_FALLBACK
    if replacement is not None:
        present = _present(daemon, replacement, _source(FALLBACK_SUITE, replacement))
        timeout = SECONDS_WITH_FALLBACK_PRESENT if present else SECONDS_FOR_FIRST_ANSWER
    with progress.step(f"image: pulling {name}") as pulling:
        reason = _pull(daemon, name, timeout)
        if reason is None:
            return Image(name=name)
        pulling.end("no registry reached")
    if not allow_fallback:
        raise ImageError(
            f"{name}: the registry cannot be reached from {daemon.host} ({reason}), and this stack "
            "does not allow a fallback image. Make the registry reachable, or copy the image from "
            f"a machine that reaches it: docker save {name} | ssh HOST docker load."
        )
    if replacement is None:
        nearest = next(
            (recipe for recipe in RECIPES if recipe.official == _repository(name)), MOSQUITTO
        )
        raise ImageError(
            f"{name}: the registry cannot be reached from {daemon.host} ({reason}), and there is "
            f"no fallback image for it: only {nearest.official} with a tag of the "
            f"{line_of(nearest.tag)} line, without a digest, can be built from Debian's packages. "
            f"Set the image to {nearest.official}:{nearest.tag}, or copy the image to the host "
            "(docker save, docker load)."
        )
    built = fallback_image(FALLBACK_SUITE, daemon, replacement)
    progress.note(
        f"the registry cannot be reached: using the fallback image {built.name}, built from "
        f"Debian's packages, in place of {name}"
    )
    return Image(name=built.name, fallback_for=name)


def fallback_image(suite: str, daemon: Daemon, recipe: Recipe = MOSQUITTO) -> Image:
    """Return the fallback image from *suite*'s packages; build and import it if it is missing."""
    source = _source(suite, recipe)
    official = recipe.official
    present = _present(daemon, recipe, source)
    if present is not None:
        return Image(name=present, fallback_for=official)
    _refuse_other_architecture(daemon)
    tar = _root_file_system(suite, recipe, source)
    version = version_in(tar, recipe)
    _refuse_other_line(suite, recipe, version)
    upstream = upstream_version(version)
    name = f"{recipe.fallback}:{upstream}-{suite}"
    if upstream != recipe.expected[suite]:
        progress.note(
            f"Debian's {suite} now has {recipe.title} {upstream} instead of "
            f"{recipe.expected[suite]}, a release of the same line: the image is called {name}"
        )
    labels = {
        SOURCE_LABEL: source,
        "sentient-mqtt.stand-in": official,
        "org.opencontainers.image.title": f"{recipe.title} from Debian's packages",
        "org.opencontainers.image.description": f"A stand-in for {official}, not the official one",
        "org.opencontainers.image.version": version,
    }
    changes = [
        *recipe.changes,
        *(f"LABEL {key}={json.dumps(value)}" for key, value in labels.items()),
    ]
    with (
        progress.step(f"image: importing {name}"),
        tar.open("rb") as stream,
    ):
        progress.run(
            daemon.argv("import", *(f"--change={change}" for change in changes), "-", name),
            what="docker import",
            env=host_environment(os.environ),
            stdin=stream,
        )
    return Image(name=name, fallback_for=official)


def recipe_for(name: str) -> Recipe | None:
    """Return the recipe of the fallback image for *name*, or None."""
    if "@" in name:
        return None  # a digest names exact bytes, which no other image has
    tag = name.rpartition("/")[2].partition(":")[2]
    return next(
        (
            recipe
            for recipe in RECIPES
            if recipe.official == _repository(name)
            and line_of(tag) == line_of(recipe.expected[FALLBACK_SUITE])
        ),
        None,
    )


def _repository(name: str) -> str:
    short = name.removeprefix("docker.io/").removeprefix("library/")
    folder, slash, last = short.rpartition("/")
    return folder + slash + last.partition(":")[0].partition("@")[0]


def line_of(version: str) -> str:
    """Return the release line of a version or tag: 2.0 for 2.0.21, 2.0.21-openssl and v2.0."""
    found = re.match(r"v?(\d+\.\d+)(?=[.-]|$)", version)
    return found[1] if found else ""


def upstream_version(debian: str) -> str:
    """Return the upstream version of a Debian version: 2.0.21 for 2.0.21-1+deb13u1."""
    version = debian.partition(":")[2] or debian
    return re.sub(r"[+~].*", "", version.rpartition("-")[0] or version)


def version_in(tar: Path, recipe: Recipe) -> str:
    """Return the version of the recipe's package in the root file system *tar*."""
    with tarfile.open(tar) as archive:
        for member in archive:
            if member.name.lstrip("./") == f"var/lib/dpkg/status.d/{recipe.package}":
                control = archive.extractfile(member)
                text = control.read().decode() if control is not None else ""
                found = re.search(r"^Version: (\S+)$", text, re.MULTILINE)
                if found:
                    return found[1]
    raise ImageError(
        f"{tar}: does not contain the package {recipe.package}. Remove the file and run this again."
    )


def _requested_fallback(name: str, daemon: Daemon, recipe: Recipe) -> Image:
    """Return the fallback image that the stack file names itself."""
    suite = name.rpartition("-")[2]
    built = fallback_image(suite, daemon, recipe).name if suite in recipe.expected else None
    usual = f"{recipe.fallback}:{recipe.expected[FALLBACK_SUITE]}-{FALLBACK_SUITE}"
    if built != name:
        raise ImageError(
            f"{name}: no such image can be built: "
            + (f"the packages of Debian's {suite} now make {built}. " if built else "")
            + f"Set the image to {built or usual} in the stack file."
        )
    return Image(name=name)


def _present(daemon: Daemon, recipe: Recipe, source: str) -> str | None:
    """Return the name of the daemon's image that was built from *source*, or None."""
    label = f"label={SOURCE_LABEL}={source}"
    template = "{{.Repository}}:{{.Tag}}"
    names = daemon.ask("image", "ls", "--filter", label, "--format", template).splitlines()
    return next((name for name in names if name.startswith(f"{recipe.fallback}:")), None)


def _source(suite: str, recipe: Recipe) -> str:
    """Return a fingerprint of the recipe, the suite and the files in images/."""
    digest = hashlib.sha256(repr((suite, recipe.package, recipe.changes)).encode())
    for path in sorted(IMAGES.iterdir()):
        if path.suffix != ".md":
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{suite}-{digest.hexdigest()[:16]}"


def _root_file_system(suite: str, recipe: Recipe, source: str) -> Path:
    """Return the tar of *suite*'s root file system; build it if the cache does not have it."""
    folder = folders.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    tar = folder / f"{source}.tar"
    with _locked(folder / f"{source}.lock"):
        if tar.exists():
            return tar
        with progress.step(f"image: building a fallback image from Debian's packages ({suite})"):
            if shutil.which("mmdebstrap") is None and apt.can_install():
                apt.install(["mmdebstrap", "debian-archive-keyring"], what="image")
            unfinished = tar.with_suffix(".unfinished")
            with unfinished.open("wb") as stream:
                progress.run(
                    [IMAGES / "build.sh", suite, recipe.package], what="image", stdout=stream
                )
            unfinished.rename(tar)
    return tar


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse_other_line(suite: str, recipe: Recipe, version: str) -> None:
    expected = recipe.expected[suite]
    if line_of(version) != line_of(expected):
        raise ImageError(
            f"Debian's {suite} now has {recipe.title} {version}; this project is tested with "
            f"{line_of(expected)} from there ({expected}). Set your own image in the stack file, "
            "or use a newer release of this project."
        )


def _refuse_other_architecture(daemon: Daemon) -> None:
    remote = daemon.ask("version", "--format", "{{.Server.Arch}}")
    local = _ARCHITECTURES.get(platform.machine(), platform.machine())
    if remote != local:
        raise ImageError(
            f"host {daemon.host}: its architecture is {remote}; an image built on this {local} "
            "machine does not run there. Copy the official image: docker save on a machine that "
            "reaches the registry, docker load on the host."
        )


def _pull(daemon: Daemon, name: str, timeout: float) -> str | None:
    """
    Pull *name*; return None on success, or the reason why no registry could be reached.

    The daemon pulls, because only the daemon knows its proxy, its mirrors and its credentials.
    *timeout* limits the wait for the first answer, not the download of the layers.
    """
    process = subprocess.Popen(
        daemon.argv("pull", name),
        env=host_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if process.stdout is None:
        raise AssertionError  # for mypy: stdout is a pipe
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_put_lines, args=(process.stdout, lines), daemon=True).start()
    began = time.monotonic()
    output: list[str] = []
    layers, pulled, shown = 0, 0, began
    with process:
        while True:
            wait = None if layers else max(0.0, began + timeout - time.monotonic())
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                process.terminate()
                return f"no answer within {timeout:.0f} s"
            if line is None:
                break
            output.append(line)
            layers += _ANSWERED.search(line) is not None
            pulled += "Pull complete" in line
            if time.monotonic() - shown > progress.IN_A_LOG:
                shown = time.monotonic()
                progress.note(f"{pulled} layers pulled after {shown - began:.0f} s")
    if process.returncode == 0:
        return None
    text = "\n".join(output).strip() or f"docker pull ended with status {process.returncode}"
    last = text.splitlines()[-1]
    if _UNREACHABLE.search(text):
        return last
    raise ImageError(
        f"{name}: the registry answered without an image: {last}. Check the name and the tag in "
        "the stack file; for a private registry or a pull limit, run docker login on "
        f"{daemon.host}."
    )


def _put_lines(stream: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in stream:
        lines.put(line.strip())
    lines.put(None)
