"""Every script of the host has a header with its interface."""

import pytest
from declared import ROOT

FIELDS = ["Arguments", "Calls", "Stdin", "Prints", "Exit codes"]


@pytest.mark.parametrize(
    "script", sorted((ROOT / "host").glob("*/*.sh")), ids=lambda path: path.stem
)
def test_header_names_purpose_arguments_stdin_output_and_exit_codes(script):
    shell, purpose, *lines = script.read_text("utf-8").splitlines()
    header = []
    for line in lines:
        if not line.startswith("#") or line.startswith("# needs: "):
            break
        header.append(line)

    assert shell == "#!/bin/sh"
    assert purpose.startswith("# ")
    assert purpose.endswith(".") or header[0] != "#"
    found = [name for line in header for name in FIELDS if line.startswith(f"# {name}: ")]
    assert found == FIELDS
