"""Which Pulumi engine is taken: the user's own before ours, and nothing from afar without need."""

import threading
from importlib.metadata import version

import pytest

from bootstrap.engine import PLUGINS, NoEngineError, Search, engine_digest


class Machine:
    """A machine with a home, a cache and a PATH of its own; it writes down what was done to it."""

    def __init__(self, folder):
        self.home, self.cache, self.bin = folder / "home", folder / "cache", folder / "bin"
        self.source = folder / "engine"
        for each in (self.home, self.cache, self.bin, self.source):
            each.mkdir()
        (self.source / "go.mod").write_text("module engine\n")
        self.online = False
        self.asked, self.built, self.downloaded = [], [], []

    def has_pulumi(self, says, *, host=True):
        for name in ("pulumi", *(["pulumi-language-python"] if host else [])):
            program = self.bin / name
            program.write_text(f"#!/bin/sh\necho {says}\n")
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


def test_the_users_own_with_its_plugins_needs_no_network(machine):
    machine.has_pulumi("v3.300.0")
    machine.has_plugins()

    engine = machine.engine()

    assert engine.bin == (machine.bin,)
    assert "PULUMI_HOME" not in engine.environment
    assert (machine.asked, machine.built, machine.downloaded) == ([], [], [])


def test_the_users_own_without_plugins_fetches_them_where_it_can(machine):
    machine.has_pulumi("v3.300.0")
    machine.online = True

    assert machine.engine().bin == (machine.bin,)
    assert (machine.built, machine.downloaded) == ([], [])


@pytest.mark.parametrize("says", ["v3.100.0", "v2.0.0", "no version at all"])
def test_an_old_one_is_passed_over(machine, says):
    machine.has_pulumi(says)
    machine.has_plugins()
    machine.online = True

    engine = machine.engine()

    assert engine.bin != (machine.bin,)
    assert len(machine.downloaded) == 1


def test_one_without_its_python_host_is_passed_over(machine):
    machine.has_pulumi("v3.300.0", host=False)

    assert machine.engine().bin != (machine.bin,)


def test_the_official_release_is_downloaded_once(machine):
    machine.online = True

    first = machine.engine()
    machine.has_plugins()  # which its first `up` fetched
    machine.online = False

    assert machine.engine() == first
    assert len(machine.downloaded) == 1
    assert machine.built == []


def test_where_the_site_is_out_of_reach_one_is_built_once(machine):
    first = machine.engine()

    assert machine.engine() == first
    assert len(machine.built) == 1
    assert machine.downloaded == []
    assert first.environment["PULUMI_HOME"] == str(machine.built[0])
    assert first.environment["PULUMI_CREDENTIALS_PATH"] == str(machine.home / ".pulumi")
    # The second time nobody asks the network.
    assert len(machine.asked) == 1


def test_the_users_own_login_still_counts_for_a_built_one(machine, tmp_path):
    elsewhere = tmp_path / "elsewhere"

    engine = machine.engine(PULUMI_CREDENTIALS_PATH=str(elsewhere))

    assert engine.environment["PULUMI_CREDENTIALS_PATH"] == str(elsewhere)


def test_another_source_is_another_engine_and_a_readme_is_not(machine):
    before = engine_digest(machine.source)
    (machine.source / "README.md").write_text("words")
    (machine.source / "main_test.go").write_text("package main")
    assert engine_digest(machine.source) == before

    (machine.source / "go.mod").write_text("module other\n")

    assert engine_digest(machine.source) != before


def test_two_runs_at_once_build_one(machine):
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


def test_a_build_that_fails_leaves_nothing_and_is_told(machine):
    def fails(prefix):
        raise NoEngineError("engine/build.sh failed")

    machine.build = fails
    with pytest.raises(NoEngineError, match=r"build\.sh failed"):
        machine.engine()

    machine.build = lambda prefix: Machine.build(machine, prefix)
    assert machine.engine().bin == (machine.built[0] / "bin",)
