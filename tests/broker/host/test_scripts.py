"""The scripts of the host and their prerequisites."""

import re

import pytest
from declared import ROOT
from host_scripts import host_scripts

from broker.host.scripts import HostScript

FUNCTION = re.compile(r"^([a-z_]+)\(\) {", re.MULTILINE)


def test_every_command_script_is_listed():
    files = {f"commands/{path.name}" for path in (ROOT / "host" / "commands").glob("*.sh")}

    assert files == set(HostScript) - {HostScript.PUT_FILES}


@pytest.mark.parametrize("script", HostScript)
def test_script_comes_once_and_after_its_prerequisites(script):
    text = host_scripts(script)
    own = (ROOT / "host" / script).read_text()

    assert text.endswith(own)
    assert text.count(own) == 1
    assert FUNCTION.findall(text) or script in (
        HostScript.NODE_EXPORTER_METRICS,
        HostScript.PASSWORD_AGES,
    )
