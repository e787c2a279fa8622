"""Which Pulumi engine is chosen: the user's own first, and no download unless it is needed."""

import threading
from importlib.metadata import version

import pytest

from bootstrap.pulumi_engine import PLUGINS, NoEngineError, Search, engine_digest


class Machine:
    """A fake machine with its own home, cache and PATH that records downloads and builds."""

    def __init__(self, folder):
        self.home, self.cache, self.bin = folder / "home", folder / "cache", folder / "bin"
        self.source = folder / "engine"
        for path in (self.home, self.cache, self.bin, self.source):
            path.mkdir()
        (self.source / "go.mod").write_text("module engine\n")
        self.online = False
        self.asked, self.built, self.downloaded = [], [], []

    def has_pulumi(self, version, *, host=True):
        for name in ("pulumi", *(["pulumi-language-python"] if host else [])):
            program = self.bin / name
            program.write_text(f"#!/bin/sh\necho {version}\n")
            program.chmod(0o755)

    def has_plugins(self):
        for name, package in PLUGINS.items():
            (self.home / ".pulumi/plugins" / f"resource-{name}-v{version(package)}").mkdir(
                parents=True
            )

    def answers(self, host):
        self.asked.append(host)
        return self.online

    def build(self, prefix):
        self.built.append(prefix)
        prefix.mkdir(parents=True)

    def download(self, root):
        self.downloaded.append(root)
        root.mkdir(parents=True)

    def engine(self, **more):
        return Search(
            source=self.source,
            cache=self.cache,
            environ={"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home), **more},
            answers=self.answers,
            build=self.build,
            download=self.download,
        ).engine()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_pulumi_on_path_with_plugins_needs_no_network(machine):
    machine.has_pulumi("v3.300.0")
    machine.has_plugins()

    engine = machine.engine()

    assert engine.bin == (machine.bin,)
    assert "PULUMI_HOME" not in engine.environment
    assert (machine.asked, machine.built, machine.downloaded) == ([], [], [])


def test_pulumi_on_path_without_plugins_is_used_if_the_site_answers(machine):
    machine.has_pulumi("v3.300.0")
    machine.online = True

    assert machine.engine().bin == (machine.bin,)
    assert (machine.built, machine.downloaded) == ([], [])


@pytest.mark.parametrize("printed", ["v3.100.0", "v2.0.0", "no version at all"])
def test_an_old_pulumi_on_path_is_not_used(machine, printed):
    machine.has_pulumi(printed)
    machine.has_plugins()
    machine.online = True

    engine = machine.engine()

    assert engine.bin != (machine.bin,)
    assert len(machine.downloaded) == 1


def test_pulumi_without_its_python_host_is_not_used(machine):
    machine.has_pulumi("v3.300.0", host=False)

    assert machine.engine().bin != (machine.bin,)


def test_the_official_release_is_downloaded_once(machine):
    machine.online = True

    first = machine.engine()
    machine.has_plugins()  # the first `up` downloads them
    machine.online = False

    assert machine.engine() == first
    assert len(machine.downloaded) == 1
    assert machine.built == []


def test_the_engine_is_built_once_if_the_site_does_not_answer(machine):
    first = machine.engine()

    assert machine.engine() == first
    assert len(machine.built) == 1
    assert machine.downloaded == []
    assert first.environment["PULUMI_HOME"] == str(machine.built[0])
    assert first.environment["PULUMI_CREDENTIALS_PATH"] == str(machine.home / ".pulumi")
    # The second run does not use the network.
    assert len(machine.asked) == 1


def test_a_built_engine_uses_the_login_of_the_user(machine, tmp_path):
    elsewhere = tmp_path / "elsewhere"

    engine = machine.engine(PULUMI_CREDENTIALS_PATH=str(elsewhere))

    assert engine.environment["PULUMI_CREDENTIALS_PATH"] == str(elsewhere)


def test_the_digest_depends_on_sources_and_not_on_documentation_or_tests(machine):
    before = engine_digest(machine.source)
    (machine.source / "README.md").write_text("words")
    (machine.source / "main_test.go").write_text("package main")
    assert engine_digest(machine.source) == before

    (machine.source / "go.mod").write_text("module other\n")

    assert engine_digest(machine.source) != before


def test_two_processes_build_the_engine_once(machine):
    begun, release = threading.Event(), threading.Event()

    def slow(prefix):
        begun.set()
        assert release.wait(10)
        Machine.build(machine, prefix)

    machine.build = slow
    engines = []
    runs = [threading.Thread(target=lambda: engines.append(machine.engine())) for _ in range(2)]
    runs[0].start()
    assert begun.wait(10)
    runs[1].start()
    release.set()
    for run in runs:
        run.join(10)

    assert len(machine.built) == 1
    assert engines[0] == engines[1]


def test_a_failed_build_is_reported_and_tried_again(machine):
    def fails(prefix):
        raise NoEngineError("engine/build.sh failed")

    machine.build = fails
    with pytest.raises(NoEngineError, match=r"build\.sh failed"):
        machine.engine()

    machine.build = lambda prefix: Machine.build(machine, prefix)
    assert machine.engine().bin == (machine.built[0] / "bin",)
