"""`make test` installs the packages of every program that a test runs; tests install none."""

from __future__ import annotations

import ast
import os
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from programs_started import in_shell, started

from bootstrap import apt, packages
from bootstrap.packages import BENCH, PACKAGES
from cli.development.bare_path import Package, closure, installed_packages, link_programs, parse
from cli.stack import ROOT

FILES = sorted(
    file
    for folder in ("tests", "bench")
    for file in (ROOT / folder).rglob("*.py")
    if file.name not in (Path(__file__).name, "programs_started.py")
)
TEXTS = [file.read_text(encoding="utf-8") for file in FILES if (ROOT / "tests") in file.parents]
INSTALL = {"install", "apt.install", "packages.install"}

MINIMAL = {
    *("apt-get", "bash", "cat", "chown", "chroot", "cp", "dash", "dd", "dpkg-deb", "echo", "env"),
    *("false", "find", "gpasswd", "id", "ls", "mkdir", "mount", "nsenter", "printf", "pwd", "rm"),
    *(
        "prlimit",
        "sed",
        "setpriv",
        "sh",
        "sleep",
        "stat",
        "tar",
        "touch",
        "true",
        "umount",
        "unshare",
    ),
    *("useradd", "userdel"),
}
"""Programs of Debian's packages with ``Essential: yes`` or ``Priority: required``, and apt."""

SHELL = {
    *("case", "cd", "do", "done", "elif", "else", "esac", "eval", "exec", "exit", "export", "fi"),
    *(
        "for",
        "if",
        "kill",
        "read",
        "return",
        "set",
        "shift",
        "test",
        "then",
        "trap",
        "until",
        "wait",
        "while",
    ),
}

SETUP = {
    "docker": "bootstrap/docker_daemon.py",
    "dockerd": "bootstrap/docker_daemon.py",
    "go": "the CI image; engine/build.sh names it",
    "make": "the README's Requirements",
    "pulumi": "bootstrap/pulumi_engine.py",
    "shellcheck": "requirements-dev.txt",
}

NO_PROGRAM = {
    "no-such": "a test of what is missing",
    "mosquitto": "inside a container, a chroot or a folder of unpacked files",
    **dict.fromkeys(("add", "commit", "init"), "git's"),
    **dict.fromkeys(("create", "events", "inspect", "ps", "run", "stop", "update"), "docker's"),
    **dict.fromkeys(("config", "output"), "pulumi's"),
    "watch": "brokerctl's",
    **dict.fromkeys(("req", "x509"), "openssl's"),
    "certificate": "sys.argv[0]",
    **dict.fromkeys(("mqtt", "mqtts", "newest", "users", "wss"), "a row of a table"),
}
"""First words of lists with options that are not programs, and what they are."""

LISTED = {
    program.rpartition("/")[2] for programs in (PACKAGES | BENCH).values() for program in programs
}
KNOWN = LISTED | MINIMAL | SHELL | SETUP.keys() | NO_PROGRAM.keys()


def unknown(source: str) -> set[str]:
    return {name for name, _ in started(source)} - KNOWN


def test_every_program_that_a_test_starts_is_listed_or_in_a_minimal_debian():
    found = defaultdict(list)
    for file in FILES:
        lists = "cli" not in file.relative_to(ROOT).parts
        for name, line in started(file.read_text(encoding="utf-8"), lists=lists):
            found[name].append(f"{file.relative_to(ROOT)}:{line}")
    assert len(found) > 60
    lacking = {name: places for name, places in found.items() if name not in KNOWN}
    assert not lacking, "add their packages to PACKAGES in bootstrap/packages.py"
    named = (SETUP | NO_PROGRAM).keys()
    assert not named - found.keys(), "no test starts these: remove them here"


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(['zstd'])",
        "subprocess.Popen(('zstd', file))",
        "subprocess.check_output(['/usr/bin/zstd'] + more)",
        "words = ['zstd', '-d']\nsubprocess.run([*words, file])",
        "words = ('zstd', file)\nsubprocess.run(words)",
        "subprocess.run([*lab.inside, 'zstd', file])",
        "lab.run('zstd', file)",
        "_run('zstd', file)",
        "shutil.which('zstd')",
        "given = ('zstd', '--keep', file)",
        "_run('ip', 'netns', 'exec', space, 'zstd')",
        "subprocess.run(['nsenter', f'--target={process}', '--', 'zstd'])",
        "subprocess.run(['sh', '-c', 'cd / && zstd file'])",
        "subprocess.run(['bash', '-c', f'cat {file} | zstd >{other}'])",
        "run('sh', '-c', 'true')\nSHIM = '#!/bin/sh\\nif zstd file; then echo; fi\\n'",
        "HELD = '''\nset -eu\nexec zstd file\n'''",
    ],
)
def test_an_unlisted_program_is_found(source):
    assert unknown(source) == {"zstd"}


def test_words_that_start_nothing_are_ignored():
    assert (
        unknown("found = ('zstd', 'lz4')\nsaid == ['zstd']\ndocker('exec', name, 'zstd')") == set()
    )
    script = "zstd() { cat; }\nset -eu\n# zstd file\necho 'zstd file'\nzstd <<E\nlz4 x\nE\n"
    assert set(in_shell(script)) <= KNOWN


def test_no_test_installs_a_package():
    calls = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in INSTALL:
                calls.add(str(file.relative_to(ROOT)))
    # Commands of `make bench`, which no test uses.
    assert calls == {"bench/attack.py", "bench/beside_ansible.py"}
    assert not any(
        "bench.beside_ansible" in text or "bench.attack import" in text for text in TEXTS
    )


def test_a_package_is_missing_if_one_of_its_programs_is(tmp_path):
    names = ("age", "nftables", "libsystemd-shared", "ufw")
    for file in (
        "usr/bin/age",
        "usr/sbin/nft",
        "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so",
        "usr/sbin/ufw",
        "lib/ufw/ufw-init",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()

    assert packages.missing(names, tmp_path) == ["age"]
    (tmp_path / "usr/bin/age-keygen").touch()
    assert packages.missing(names, tmp_path) == []
    assert packages.missing(root=tmp_path / "empty") == list(PACKAGES)


def test_one_call_of_apt_installs_the_missing_packages(monkeypatch):
    installed = []
    monkeypatch.setattr(apt, "install", lambda names, what: installed.append((names, what)))
    monkeypatch.setattr(packages, "missing", list)
    packages.install(("age", "ufw"), what="tests")
    monkeypatch.setattr(packages, "missing", lambda _: [])
    packages.install(what="tests")
    assert installed == [(["age", "ufw"], "tests")]


def package(name, *depends, minimal=False, provides=()):
    return Package(name=name, minimal=minimal, depends=depends, provides=provides)


class TestTheClosure:
    def test_dependencies_and_their_providers_are_included(self):
        installed = [
            package("dash", minimal=True),
            package("nftables", "libnft", "mta"),
            package("libnft", "nftables"),
            package("exim", provides=("mta",)),
            package("zstd"),
        ]
        assert closure(installed, ["nftables", "not-installed"]) == {
            *("dash", "nftables", "libnft", "exim")
        }

    def test_the_fields_of_dpkg_are_parsed(self):
        row = {
            "Package": "ufw",
            "Essential": "no",
            "Priority": "required",
            "Pre-Depends": "dpkg (>= 1.17.14)",
            "Depends": "iptables, python3:any | python3.11 (>= 3.11)",
            "Provides": "firewall (= 1)",
        }
        assert parse(row) == Package(
            name="ufw",
            minimal=True,
            depends=("dpkg", "iptables", "python3", "python3.11"),
            provides=("firewall",),
        )


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """The folder of links; another folder of PATH has programs of no package."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("docker", "pulumi-language-python", "chromium", "zstd"):
        (elsewhere / name).write_text("#!/bin/sh\n")
        (elsewhere / name).chmod(0o755)
    folder = tmp_path_factory.mktemp("programs")
    link_programs(folder, f"{elsewhere}{os.pathsep}/nowhere")
    return folder


def test_the_path_of_the_tests_has_listed_programs_only(linked):
    found = {file.name for file in linked.iterdir()}
    assert found >= MINIMAL
    assert {"awk", "make", "python3", "docker", "pulumi-language-python", "chromium"} <= found
    assert "zstd" not in found


def test_the_path_has_every_installed_program_of_the_list(tmp_path):
    link_programs(tmp_path, os.pathsep.join(f"/{folder}" for folder in packages.FOLDERS))
    for name in {*PACKAGES} - {*packages.missing()}:
        for program in PACKAGES[name]:
            assert program.startswith("/") or (tmp_path / program).exists(), program


def test_the_path_has_no_program_of_an_unlisted_package(linked):
    done = subprocess.run(
        [
            "env",
            f"PATH={linked}",
            "sh",
            "-c",
            "command -v awk; command -v python3; command -v zstd-of-nobody",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [f"{linked}/awk", f"{linked}/python3"]
    assert done.returncode != 0


def test_minimal_programs_are_those_of_essential_and_required_packages():
    names = {item.name for item in installed_packages() if item.minimal} | {"apt"}
    files = subprocess.run(
        ["dpkg-query", "--listfiles", *names], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    # sh is a link that a maintainer script of dash makes, on some releases.
    assert {"sh"} | {file.rpartition("/")[2] for file in files if "bin/" in file} >= MINIMAL
