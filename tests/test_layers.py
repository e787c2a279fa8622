"""The house has one direction: settings, then texts, then resources, then outputs."""

import ast
import re
from graphlib import TopologicalSorter

import pytest
from declared import ROOT

# What would let a text depend on more than the settings it is made of.
IMPURE = {
    *("os", "io", "sys", "subprocess", "socket", "shutil", "tempfile", "pathlib", "glob"),
    *("random", "secrets", "uuid", "time", "datetime", "threading", "asyncio", "logging"),
    *("urllib.request", "http", "platform", "getpass", "locale"),
}
_VALUES = ("date", "datetime", "timedelta")
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}


def python_in(folder):
    return sorted((ROOT / folder).glob("**/*.py"))


def names_imported(path):
    """Every module, with what is taken from it: ``os``, ``pathlib.PurePosixPath``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(names):
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("module", python_in("broker"), ids=lambda path: path.stem)
class TestBroker:
    def test_it_knows_nothing_of_pulumi_and_of_no_room_above(self, module):
        above = {"components", "bootstrap", "cli"}
        assert not {
            each for each in roots(names_imported(module)) if each in above or "pulumi" in each
        }

    def test_it_reads_nothing_draws_nothing_and_asks_no_clock(self, module):
        # A path without a disk below it is a text, and a time that was given a value.
        values = {"pathlib.PurePosixPath"} | {f"datetime.{each}" for each in _VALUES}
        names = names_imported(module) - values
        assert not {
            each
            for each in names
            if each.split(".")[0] in IMPURE or any(each.startswith(f"{bad}.") for bad in IMPURE)
        }

    def test_it_calls_nothing_that_does(self, module):
        called = {
            node.func.id
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & IMPURE_CALLS
        asked = {
            node.func.attr
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not asked & {"now", "today", "utcnow"}


def test_only_components_and_the_program_import_pulumi():
    # pulumi.automation downloads the engine; it makes no resources.
    importing = {
        path.relative_to(ROOT).parts[0]
        for folder in ("bootstrap", "broker", "cli", "components")
        for path in python_in(folder)
        for each in names_imported(path)
        if each.startswith("pulumi") and not each.startswith("pulumi.automation")
    }

    assert importing == {"components"}
    assert "pulumi" in roots(names_imported(ROOT / "__main__.py"))


@pytest.mark.parametrize(
    ("room", "may_use"),
    [
        ("broker", {"broker"}),
        ("components", {"broker", "components"}),
        ("bootstrap", {"broker", "bootstrap"}),
        ("cli", {"broker", "bootstrap", "cli"}),
    ],
)
def test_nothing_below_is_used_above(room, may_use):
    ours = {"broker", "components", "bootstrap", "cli"}
    used = set().union(*(roots(names_imported(path)) for path in python_in(room))) & ours

    assert used <= may_use


def modules():
    """Every module of the program by its dotted name, with its path."""
    found = {}
    for folder in ("bootstrap", "broker", "cli", "components"):
        for path in python_in(folder):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported_modules(path, known):
    """The modules of the program that *path* imports while it is imported itself."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        yield from (name for name in names if name in known)


def test_no_modules_import_each_other_in_a_circle():
    known = modules()
    sorter = TopologicalSorter(
        {name: set(imported_modules(path, known)) - {name} for name, path in known.items()}
    )

    sorter.prepare()  # raises CycleError, which names the modules

    assert len(known) > 50


def test_only_host_facts_read_what_the_probe_prints():
    reading = {
        path.relative_to(ROOT).as_posix()
        for folder in ("broker", "cli", "components")
        for path in python_in(folder)
        if re.search(r"\.lines?\(", path.read_text(encoding="utf-8"))
    }

    assert reading == {"broker/host/facts.py"}


def test_every_room_says_what_it_is_for():
    for folder in ("bootstrap", "broker", "cli", "components"):
        for path in python_in(folder):
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert said, f"{path} has no docstring"
            assert said.splitlines()[0].endswith((".", ":")), path


def test_no_room_is_a_cupboard():
    names = {path.stem for folder in (".",) for path in (ROOT / folder).glob("*/*.py")}

    assert not names & {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
