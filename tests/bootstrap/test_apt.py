"""Packages are unpacked once, also if several processes ask for them at the same time."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from bootstrap import apt

EXTRACT = 'mkdir -p "$3/bin"; cat "$2" >"$3/bin/tool"'


def test_concurrent_callers_get_the_same_complete_folder(machine):
    machine.program("apt-get", "sleep 0.2; echo content >tool_1_all.deb")
    machine.program("dpkg-deb", f"sleep 0.2; {EXTRACT}")

    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: apt.unpack(("tool",), what="tests"), range(4)))

    assert len(set(folders)) == 1
    assert (folders[0] / "bin" / "tool").read_text() == "content\n"
    assert len(machine.calls("dpkg-deb")) == 1


def test_a_failed_download_is_tried_again_by_the_next_caller(machine):
    machine.program("apt-get", 'case "$*" in *download*) exit 100 ;; esac')
    machine.program("dpkg-deb", EXTRACT)
    with pytest.raises(subprocess.CalledProcessError, match="apt-get"):
        apt.unpack(("tool",), what="tests")

    machine.program("apt-get", "echo content >tool_1_all.deb")
    assert (apt.unpack(("tool",), what="tests") / "bin" / "tool").exists()
