"""Fixtures for component tests: a fake engine and the settings of a broker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from declared import smallest
from fake_engine import FakeEngine

from broker.host.script_calls import Record
from broker.host.transport import Transport, transport
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A started fake engine. It does not know resources that were created before it."""
    fake = FakeEngine(monkeypatch)
    fake.start()
    return fake


@pytest.fixture
def broker() -> Broker:
    return Settings.parse(smallest()).broker


@pytest.fixture
def record() -> Callable[[str], Record]:
    """Return what the host remembers of a component that was applied three times."""
    return lambda component: Record(container="mosquitto-test", component=component, revision="3")


@pytest.fixture
def here() -> Transport:
    return transport("unix:///var/run/docker.sock")
