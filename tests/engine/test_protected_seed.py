"""`pulumi destroy` stops at the protected seed of the salts, before it deletes anything."""

from __future__ import annotations

import json

import pytest
from declared import ROOT

PROGRAM = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})
from broker.settings.password_settings import Passwords
from components import Credentials

Credentials("credentials", generations={{"sensor": "1"}}, passwords=Passwords())
"""
RANDOM = {"credentials.salts", "credentials-sensor"}


@pytest.fixture
def deployed(project):
    project.up(PROGRAM)
    assert set(project.state()) >= RANDOM
    return project


def test_destroy_deletes_nothing_until_the_seed_is_unprotected(deployed):
    before = set(deployed.state())

    failed = deployed.pulumi("destroy", "--yes")

    assert failed.code != 0
    assert "because it is protected" in failed.text
    assert set(deployed.state()) == before

    urn = deployed.state()["credentials.salts"]["urn"]
    assert deployed.pulumi("state", "unprotect", urn, "--yes").code == 0
    assert deployed.pulumi("destroy", "--yes").code == 0
    assert deployed.state() == {}


def test_everything_but_the_random_resources_can_be_destroyed(deployed):
    run = deployed.pulumi("destroy", "--yes", "--skip-preview", "--exclude", "**random:index/**")

    assert run.code == 0, run.text
    assert set(deployed.state()) >= RANDOM


def test_the_protected_seed_does_not_prevent_a_rotation(deployed):
    deployed.up(PROGRAM.replace('"sensor": "1"', '"sensor": "2"'))

    planned = json.loads(deployed.pulumi("preview", "--json").text)
    assert planned["changeSummary"].keys() == {"same"}
