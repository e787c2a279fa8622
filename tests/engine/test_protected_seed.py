"""`pulumi destroy` stops at the seed of the salts, before it deletes anything."""

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
DRAWN = {"credentials.salts", "credentials-sensor"}


@pytest.fixture
def deployed(project):
    project.up(PROGRAM)
    assert set(project.state()) >= DRAWN
    return project


def test_destroy_deletes_nothing_until_the_seed_is_unprotected(deployed):
    before = set(deployed.state())

    refused = deployed.pulumi("destroy", "--yes")

    assert refused.code != 0
    assert "because it is protected" in refused.text
    assert set(deployed.state()) == before

    urn = deployed.state()["credentials.salts"]["urn"]
    assert deployed.pulumi("state", "unprotect", urn, "--yes").code == 0
    assert deployed.pulumi("destroy", "--yes").code == 0
    assert deployed.state() == {}


def test_the_passwords_can_be_kept_while_the_seed_is_protected(deployed):
    kept = deployed.pulumi("destroy", "--yes", "--skip-preview", "--exclude", "**random:index/**")

    assert kept.code == 0, kept.text
    assert set(deployed.state()) >= DRAWN


def test_a_rotation_is_not_stopped_by_the_protected_seed(deployed):
    deployed.up(PROGRAM.replace('"sensor": "1"', '"sensor": "2"'))

    planned = json.loads(deployed.pulumi("preview", "--json").text)
    assert planned["changeSummary"].keys() == {"same"}
