"""Every script of the host has a name in the program, and names what it needs."""

import re

import pytest
from declared import ROOT
from host_scripts import host_scripts

from broker.host.scripts import HostScript

FUNCTION = re.compile(r"^([a-z_]+)\(\) {", re.MULTILINE)


def test_each_command_of_the_host_has_a_name():
    files = {f"commands/{path.name}" for path in (ROOT / "host" / "commands").glob("*.sh")}

    assert files == set(HostScript) - {HostScript.PUT_FILES}


@pytest.mark.parametrize("script", HostScript)
def test_a_script_stands_after_what_it_needs_and_once(script):
    text = host_scripts(script)
    own = (ROOT / "host" / script).read_text()

    assert text.endswith(own)
    assert text.count(own) == 1
    assert FUNCTION.findall(text) or script in (
        HostScript.NODE_EXPORTER_METRICS,
        HostScript.PASSWORD_AGES,
    )
