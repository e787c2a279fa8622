"""The layers of the program: which package may import which, and broker/ is pure."""

import ast
import re
from graphlib import TopologicalSorter

import pytest
from declared import ROOT

# Modules with which a result could depend on more than the arguments.
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
    """Return the imported names with their modules: ``os``, ``pathlib.PurePosixPath``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def roots(names):
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("module", python_in("broker"), ids=lambda path: path.stem)
class TestBroker:
    def test_it_imports_neither_pulumi_nor_a_package_above(self, module):
        above = {"components", "bootstrap", "cli"}
        assert not {
            name for name in roots(names_imported(module)) if name in above or "pulumi" in name
        }

    def test_it_imports_no_io_randomness_or_clock(self, module):
        # These are values: they do no I/O and read no clock.
        values = {"pathlib.PurePosixPath"} | {f"datetime.{value}" for value in _VALUES}
        names = names_imported(module) - values
        assert not {
            name
            for name in names
            if name.split(".")[0] in IMPURE or any(name.startswith(f"{bad}.") for bad in IMPURE)
        }

    def test_it_calls_no_io_and_no_clock(self, module):
        called = {
            node.func.id
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & IMPURE_CALLS
        methods = {
            node.func.attr
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not methods & {"now", "today", "utcnow"}


def test_only_components_and_the_program_import_pulumi():
    # pulumi.automation downloads the engine; it creates no resources.
    importing = {
        path.relative_to(ROOT).parts[0]
        for folder in ("bootstrap", "broker", "cli", "components")
        for path in python_in(folder)
        for name in names_imported(path)
        if name.startswith("pulumi") and not name.startswith("pulumi.automation")
    }

    assert importing == {"components"}
    assert "pulumi" in roots(names_imported(ROOT / "__main__.py"))


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("broker", {"broker"}),
        ("components", {"broker", "components"}),
        ("bootstrap", {"broker", "bootstrap"}),
        ("cli", {"broker", "bootstrap", "cli"}),
    ],
)
def test_packages_import_only_packages_below(package, allowed):
    packages = {"broker", "components", "bootstrap", "cli"}
    imported = set().union(*(roots(names_imported(path)) for path in python_in(package)))

    assert imported & packages <= allowed


def modules():
    """Return the path of every module of the program, by dotted name."""
    paths = {}
    for folder in ("bootstrap", "broker", "cli", "components"):
        for path in python_in(folder):
            names = path.relative_to(ROOT).with_suffix("").parts
            paths[".".join(names).removesuffix(".__init__")] = path
    return paths


def imported_modules(path, known):
    """Yield the modules of the program that *path* imports at module level."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        yield from (name for name in names if name in known)


def test_there_is_no_import_cycle():
    known = modules()
    sorter = TopologicalSorter(
        {name: set(imported_modules(path, known)) - {name} for name, path in known.items()}
    )

    sorter.prepare()  # raises CycleError with the names of the modules

    assert len(known) > 50


def test_only_host_facts_parse_the_output_of_the_probe():
    reading = {
        path.relative_to(ROOT).as_posix()
        for folder in ("broker", "cli", "components")
        for path in python_in(folder)
        if re.search(r"\.lines?\(", path.read_text(encoding="utf-8"))
    }

    assert reading == {"broker/host/facts.py"}


def test_every_module_has_a_docstring():
    for folder in ("bootstrap", "broker", "cli", "components"):
        for path in python_in(folder):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert docstring, f"{path} has no docstring"
            assert docstring.splitlines()[0].endswith((".", ":")), path


def test_no_module_has_a_catch_all_name():
    names = {path.stem for path in ROOT.glob("*/*.py")}

    assert not names & {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
