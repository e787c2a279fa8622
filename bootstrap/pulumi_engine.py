"""Choose a Pulumi engine: the one on PATH, the official release, or one built from engine/."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path

from bootstrap import folders, progress

SOURCE = Path(__file__).resolve().parent.parent / "engine"

# The oldest accepted CLI is the version that engine/ builds: the tests run on no older one.
MINIMUM = (3, 259, 0)

DOWNLOAD_SITE = "get.pulumi.com"
SECONDS_TO_ANSWER = 3.0

# The resource plugins of the program; each must have the version of its Python package.
PLUGINS = {"random": "pulumi-random", "docker": "pulumi-docker", "command": "pulumi-command"}


class NoEngineError(Exception):
    """No engine is available; the message says what was tried and contains the fix."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The folders and variables with which a process runs Pulumi."""

    bin: tuple[Path, ...]
    """The folders to put first on PATH."""
    environment: Mapping[str, str]
    origin: str
    """Where the engine comes from, for messages."""


def ensure_engine() -> Engine:
    """Return an engine that is ready to run; build or download it if necessary."""
    return Search().engine()


def engine_digest(folder: Path) -> str:
    """Return the SHA-256 of the files that the build in *folder* reads, as hex digits."""
    digest = hashlib.sha256()
    for path in sorted(_sources(folder), key=Path.as_posix):
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        digest.update(f"{len(name)}:{name}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def site_answers(host: str) -> bool:
    """Return whether *host* answers by HTTPS within SECONDS_TO_ANSWER."""
    connection = http.client.HTTPSConnection(host, timeout=SECONDS_TO_ANSWER)
    try:
        connection.request("HEAD", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def build(prefix: Path) -> None:
    """Build engine/ into *prefix*, which takes about ten minutes."""
    with progress.step("Pulumi engine: building it from engine/, once per version of engine/"):
        try:
            subprocess.run([SOURCE / "build.sh", prefix], check=True)
        except subprocess.CalledProcessError as error:
            raise NoEngineError(
                f"No Pulumi engine: no suitable one is on PATH, {DOWNLOAD_SITE} cannot be reached, "
                f"and engine/build.sh failed (exit code {error.returncode}; its message is above). "
                f"Install Pulumi {_dotted(MINIMUM)} or newer, or fix the error of the build."
            ) from error


def download(root: Path) -> None:
    """Install the official release of the Python SDK's version so that *root*/bin/pulumi exists."""
    # This import takes a second, and only this function needs it.
    from pulumi.automation import PulumiCommand  # noqa: PLC0415

    incomplete = root.with_name(f"{root.name}.new.{os.getpid()}")
    with progress.step(f"Pulumi engine: downloading the official release from {DOWNLOAD_SITE}"):
        try:
            PulumiCommand.install(root=str(incomplete))
            incomplete.rename(root)
        finally:
            shutil.rmtree(incomplete, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search for an engine; tests replace its functions."""

    source: Path = SOURCE
    cache: Path = field(default_factory=folders.cache)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    answers: Callable[[str], bool] = site_answers
    build: Callable[[Path], None] = build
    download: Callable[[Path], None] = download

    def engine(self) -> Engine:
        """
        Return the first usable engine.

        A complete engine on this machine comes first, so that only the first run uses the
        network. An official release comes before a build of engine/.
        """
        on_path = self._recent_on_path()
        complete = self._plugins_installed()
        built = self.cache / "engine" / engine_digest(self.source)[:16]
        official = self.cache / "pulumi" / installed_version("pulumi")

        if on_path and complete:
            return self._from_path(on_path)
        if complete and official.is_dir():
            return self._official(official)
        if built.is_dir():
            return self._built(built)
        if self.answers(DOWNLOAD_SITE):
            if on_path:
                return self._from_path(on_path)
            with self._alone(official):
                if not official.is_dir():
                    self.download(official)
            return self._official(official)
        with self._alone(built):
            if not built.is_dir():
                self.build(built)
        return self._built(built)

    def _from_path(self, executable: Path) -> Engine:
        return Engine(
            bin=(executable.parent,),
            environment={"PULUMI_SKIP_UPDATE_CHECK": "true"},
            origin=f"the pulumi on PATH, {executable}",
        )

    def _official(self, root: Path) -> Engine:
        return Engine(
            bin=(root / "bin",),
            environment={"PULUMI_SKIP_UPDATE_CHECK": "true"},
            origin=f"the official release {root.name}, downloaded into {root}",
        )

    def _built(self, prefix: Path) -> Engine:
        return Engine(
            bin=(prefix / "bin",),
            environment={
                "PULUMI_HOME": str(prefix),
                # Keep the `pulumi login` that the user made with another engine.
                "PULUMI_CREDENTIALS_PATH": str(self._credentials()),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            origin=f"built from engine/ into {prefix}",
        )

    def _credentials(self) -> Path:
        given = self.environ.get("PULUMI_CREDENTIALS_PATH")
        return Path(given) if given else self._home()

    def _home(self) -> Path:
        """Return the user's Pulumi folder; ignore a PULUMI_HOME inside this project's cache."""
        given = self.environ.get("PULUMI_HOME")
        if given and not Path(given).is_relative_to(self.cache):
            return Path(given)
        return Path(self.environ.get("HOME") or Path.home()) / ".pulumi"

    def _recent_on_path(self) -> Path | None:
        """Return the pulumi on PATH, if it is recent and has its Python language host."""
        folders_on_path = [
            folder
            for folder in self.environ.get("PATH", "").split(os.pathsep)
            if folder and not Path(folder).is_relative_to(self.cache)
        ]
        path = os.pathsep.join(folders_on_path)
        found = shutil.which("pulumi", path=path)
        if not found:
            return None
        beside = os.pathsep.join([str(Path(found).resolve().parent), path])
        if not shutil.which("pulumi-language-python", path=beside):
            return None
        return Path(found) if _cli_version(found) >= MINIMUM else None

    def _plugins_installed(self) -> bool:
        plugins = self._home() / "plugins"
        return all(
            (plugins / f"resource-{name}-v{installed_version(package)}").is_dir()
            and not (plugins / f"resource-{name}-v{installed_version(package)}.partial").exists()
            for name, package in PLUGINS.items()
        )

    @contextmanager
    def _alone(self, target: Path) -> Iterator[None]:
        """Lock *target*, so that only one process creates it; the lock ends with the process."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f"{target.name}.lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step("Pulumi engine: waiting for another process that creates it"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _sources(folder: Path) -> Iterator[Path]:
    """Yield the files that the build reads: no tests, no documentation, no hidden files."""
    for path in folder.rglob("*"):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        unused = path.name.endswith("_test.go") or path.suffix == ".md"
        if path.is_file() and not hidden and not unused:
            yield path


def _cli_version(executable: str) -> tuple[int, ...]:
    """Return the version that `pulumi version` prints, or () if it fails."""
    try:
        output = subprocess.run(
            [executable, "version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", output.strip())
    return tuple(int(number) for number in found.groups()) if found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)
