"""Every shell script is POSIX sh and passes shellcheck."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from declared import ROOT
from host_scripts import host_scripts

FOLDERS = ("host", "images", "engine", "bootstrap", "tests", ".ci")
SCRIPTS = sorted(
    path
    for folder in (*FOLDERS, ".")
    for path in (ROOT / folder).glob("brokerctl" if folder == "." else "**/*")
    if path.suffix == ".sh" or path.parent.name == ".ci" or path.name == "brokerctl"
    if path.is_file()
)


@pytest.fixture(scope="module")
def shellcheck():
    beside_python = Path(sys.executable).parent / "shellcheck"
    found = str(beside_python) if beside_python.exists() else shutil.which("shellcheck")
    assert found, "shellcheck comes with requirements-dev.txt"
    return found


def test_scripts_are_found():
    assert {"put_files.sh", "probe.sh", "build.sh", "venv.sh"} <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
class TestScript:
    def test_it_passes_shellcheck(self, script, shellcheck):
        done = subprocess.run(
            [shellcheck, "-s", "sh", str(script)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout

    def test_sh_can_parse_it(self, script):
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0

    def test_its_first_line_names_sh(self, script):
        assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")

    def test_it_exits_on_the_first_error(self, script):
        text = script.read_text(encoding="utf-8")
        assert "\nset -eu\n" in text or "\n# needs: " in text


def test_a_checkout_with_carriage_returns_keeps_the_line_feeds_of_scripts(tmp_path):
    """With core.autocrlf, git on Windows writes CRLF, and sh reads `set -eu` with a CR."""
    for name in (".gitattributes", "brokerctl"):
        shutil.copy(ROOT / name, tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "core.autocrlf=true", "-c", "user.name=a"]
    git += ["-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    (tmp_path / "brokerctl").unlink()
    subprocess.run([*git, "checkout", "-q", "brokerctl"], check=True)

    assert (tmp_path / "brokerctl").read_bytes() == (ROOT / "brokerctl").read_bytes()


@pytest.mark.parametrize(
    "script", sorted((ROOT / "host").rglob("*.sh")), ids=lambda path: path.stem
)
def test_a_host_script_only_defines_functions(script, tmp_path):
    """The calls follow the functions, so that a broken connection before them changes nothing."""
    # With an empty folder as PATH, a call of any program would fail.
    done = subprocess.run(
        [str(shutil.which("sh")), "-s", "apply"],
        input=host_scripts(str(script.relative_to(ROOT / "host"))),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
