"""The broker's image is on the host: the one that was named, or a stand-in that says it is one."""

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
from bootstrap.daemon import Daemon
from broker.host.transport import host_environment

IMAGES = Path(__file__).resolve().parent.parent / "images"
SOURCE_LABEL = "sentient-mqtt.source"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What images/ makes of Debian's packages, and in whose place it may run."""

    package: str
    """Debian's; the image has its version, and images/build.sh knows it by this name."""
    official: str
    """The image that it stands in for, without a tag."""
    stand_in: str
    expected: Mapping[str, str]
    """What each suite held when this was written; the same release line is expected of it later."""
    tag: str
    """Of the official image that ``STANDS_IN`` is the same release of."""
    title: str
    """What people call it."""
    changes: tuple[str, ...]
    """For ``docker import``: what a Dockerfile would say."""


_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MOSQUITTO = Recipe(
    package="mosquitto",
    official="eclipse-mosquitto",
    stand_in="localhost/mosquitto-from-debian",
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
    stand_in="localhost/mqtt2prometheus-from-debian",
    expected={"trixie": "0.1.7"},
    tag="v0.1.7",
    title="mqtt2prometheus",
    changes=('CMD ["/mqtt2prometheus"]', "EXPOSE 9641", _PATH),
)
RECIPES = (MOSQUITTO, EXPORTER)
STANDS_IN = "trixie"
"""The suite that a stack may run on: a stable release. The other one is for tests."""

# A registry that can be reached sends the list of layers within these; one that can't would keep
# the daemon for minutes. With a stand-in there already, a second `up` should take no longer than
# need be; where nothing can stand in, there is no hurry.
SECONDS_FOR_A_FIRST_ANSWER = 10.0
SECONDS_WITH_ONE_PRESENT = 3.0
SECONDS_WITHOUT_A_STAND_IN = 60.0
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
    """The host has no image to run; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that the daemon has."""

    name: str
    """What a container is to be made of."""

    stands_in_for: str | None = None
    """The official image in whose place it is used."""


def ensure_image(name: str, daemon: Daemon, *, allow_stand_in: bool) -> Image:
    """
    Return the image *name*, pulled if the daemon hasn't got it.

    Where the registry can't be reached and *allow_stand_in* says so, the image is one built from
    Debian's packages, under a name of its own, and the output says so.
    """
    if daemon.run("image", "inspect", "--format", "{{.Id}}", name).returncode == 0:
        return Image(name=name)
    for each in RECIPES:
        if name.startswith(f"{each.stand_in}:"):
            return _asked_for_by_name(name, daemon, each)
    recipe = recipe_for(name) if allow_stand_in else None
    patience = SECONDS_WITHOUT_A_STAND_IN
    if recipe is not None:
        present = _present(daemon, recipe, _source(STANDS_IN, recipe))
        patience = SECONDS_WITH_ONE_PRESENT if present else SECONDS_FOR_A_FIRST_ANSWER
    with progress.step(f"image: pulling {name}") as pulling:
        complaint = _pull(daemon, name, patience)
        if complaint is None:
            return Image(name=name)
        pulling.end("no registry reached")
    if not allow_stand_in:
        raise ImageError(
            f"{name}: the registry can't be reached from {daemon.host} ({complaint}), and this "
            "stack runs no stand-in. Make the registry reachable, or bring the image by hand: on a "
            f"machine that reaches it, docker save {name} | ssh HOST docker load."
        )
    if recipe is None:
        nearest = next((each for each in RECIPES if each.official == _repository(name)), MOSQUITTO)
        raise ImageError(
            f"{name}: the registry can't be reached from {daemon.host} ({complaint}), and nothing "
            f"can stand in for it: only {nearest.official} with a tag of the "
            f"{line_of(nearest.tag)} line, without a digest, can be built from Debian's packages. "
            f"Name {nearest.official}:{nearest.tag}, or bring the image by hand (docker save, "
            "docker load)."
        )
    built = stand_in(STANDS_IN, daemon, recipe)
    progress.note(
        f"the registry can't be reached: using {built.name}, built from Debian's packages, "
        f"in place of {name}"
    )
    return Image(name=built.name, stands_in_for=name)


def stand_in(suite: str, daemon: Daemon, recipe: Recipe = MOSQUITTO) -> Image:
    """Return the image built from *suite*'s packages; built and imported unless it is there."""
    source = _source(suite, recipe)
    official = recipe.official
    present = _present(daemon, recipe, source)
    if present is not None:
        return Image(name=present, stands_in_for=official)
    _refuse_other_architecture(daemon)
    tar = _root_file_system(suite, recipe, source)
    version = version_in(tar, recipe)
    _refuse_other_line(suite, recipe, version)
    upstream = upstream_version(version)
    name = f"{recipe.stand_in}:{upstream}-{suite}"
    if upstream != recipe.expected[suite]:
        progress.note(
            f"Debian's {suite} moved on from {recipe.title} {recipe.expected[suite]} to "
            f"{upstream}, a release of the same line: the image is called {name}"
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
            daemon.argv("import", *(f"--change={each}" for each in changes), "-", name),
            what="docker import",
            env=host_environment(os.environ),
            stdin=stream,
        )
    return Image(name=name, stands_in_for=official)


def recipe_for(name: str) -> Recipe | None:
    """Return what can stand in for *name*, or None."""
    if "@" in name:
        return None  # a digest says which bytes are meant: nothing else can be them
    tag = name.rpartition("/")[2].partition(":")[2]
    return next(
        (
            each
            for each in RECIPES
            if each.official == _repository(name)
            and line_of(tag) == line_of(each.expected[STANDS_IN])
        ),
        None,
    )


def _repository(name: str) -> str:
    short = name.removeprefix("docker.io/").removeprefix("library/")
    folder, slash, last = short.rpartition("/")
    return folder + slash + last.partition(":")[0].partition("@")[0]


def line_of(version: str) -> str:
    """Return the release line of a version or tag: 2.0 of 2.0.21, 2.0.21-openssl and v2.0."""
    found = re.match(r"v?(\d+\.\d+)(?=[.-]|$)", version)
    return found[1] if found else ""


def upstream_version(debian: str) -> str:
    """Return Mosquitto's own version of a Debian version: 2.0.21 of 2.0.21-1+deb13u1."""
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
        f"{tar}: holds no package {recipe.package}. Remove the file and run this again."
    )


def _asked_for_by_name(name: str, daemon: Daemon, recipe: Recipe) -> Image:
    suite = name.rpartition("-")[2]
    built = stand_in(suite, daemon, recipe).name if suite in recipe.expected else None
    usual = f"{recipe.stand_in}:{recipe.expected[STANDS_IN]}-{STANDS_IN}"
    if built != name:
        raise ImageError(
            f"{name}: no such image can be built: "
            + (f"Debian's {suite} makes {built} today. " if built else "")
            + f"Name {built or usual} in the stack file."
        )
    return Image(name=name)


def _present(daemon: Daemon, recipe: Recipe, source: str) -> str | None:
    """Return the name of the image that the daemon has of *source*."""
    label = f"label={SOURCE_LABEL}={source}"
    template = "{{.Repository}}:{{.Tag}}"
    found = daemon.ask("image", "ls", "--filter", label, "--format", template).splitlines()
    return next((each for each in found if each.startswith(f"{recipe.stand_in}:")), None)


def _source(suite: str, recipe: Recipe) -> str:
    """Return what names the recipe: another recipe, suite or set of labels is another source."""
    digest = hashlib.sha256(repr((suite, recipe.package, recipe.changes)).encode())
    for each in sorted(IMAGES.iterdir()):
        if each.suffix != ".md":
            digest.update(each.name.encode() + b"\0" + each.read_bytes())
    return f"{suite}-{digest.hexdigest()[:16]}"


def _root_file_system(suite: str, recipe: Recipe, source: str) -> Path:
    """Return the tar of *suite*'s root file system, built unless the cache folder has it."""
    folder = folders.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    tar = folder / f"{source}.tar"
    with _locked(folder / f"{source}.lock"):
        if tar.exists():
            return tar
        with progress.step(f"image: building it from the packages of Debian {suite}"):
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
            f"Debian's {suite} now has {recipe.title} {version}; this project is proven with "
            f"{line_of(expected)} there ({expected}). Name an image of your own in "
            "the stack file, or use a newer release of this project."
        )


def _refuse_other_architecture(daemon: Daemon) -> None:
    there = daemon.ask("version", "--format", "{{.Server.Arch}}")
    here = _ARCHITECTURES.get(platform.machine(), platform.machine())
    if there != here:
        raise ImageError(
            f"host {daemon.host}: is {there}, and an image built on this {here} machine would not "
            "run there. Bring the official image by hand: docker save on a machine that reaches "
            "the registry, docker load on the host."
        )


def _pull(daemon: Daemon, name: str, patience: float) -> str | None:
    """
    Pull *name*; return None when it is there, or why no registry could be reached.

    The daemon is asked, not the registry: only the daemon knows its proxy, its mirrors and its
    credentials. Its patience is bounded up to the first answer, not for the layers that follow.
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
        raise AssertionError  # for mypy: it was asked for above
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_lines_of, args=(process.stdout, lines), daemon=True).start()
    began = time.monotonic()
    said: list[str] = []
    layers, pulled, shown = 0, 0, began
    with process:
        while True:
            wait = None if layers else max(0.0, began + patience - time.monotonic())
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                process.terminate()
                return f"no answer within {patience:.0f} s"
            if line is None:
                break
            said.append(line)
            layers += _ANSWERED.search(line) is not None
            pulled += "Pull complete" in line
            if time.monotonic() - shown > progress.IN_A_LOG:
                shown = time.monotonic()
                progress.note(f"{pulled} layers are here after {shown - began:.0f} s")
    if process.returncode == 0:
        return None
    text = "\n".join(said).strip() or f"docker pull ended with status {process.returncode}"
    last = text.splitlines()[-1]
    if _UNREACHABLE.search(text):
        return last
    raise ImageError(
        f"{name}: the registry answered, but gave no image: {last}. Check the name and the tag in "
        "the stack file; a private registry or a pull limit asks for a docker login on "
        f"{daemon.host}."
    )


def _lines_of(stream: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    for line in stream:
        lines.put(line.strip())
    lines.put(None)
