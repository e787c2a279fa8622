"""Questions about access have answers that name the rule."""

from broker.explain import explain, who_can
from ops.stack import Stack

PROD = Stack.read("prod").settings


def test_the_rule_that_grants_is_named_with_its_place():
    publish, receive = explain(PROD, "paragon_devices", "paragon/clockwork/status/door")

    assert publish == (
        "paragon_devices may publish to paragon/clockwork/status/door: "
        "'topic write paragon/+/status/#' (users.paragon_devices.write[1])."
    )
    assert receive.startswith("paragon_devices may not receive")
    assert "no rule grants it" in receive


def test_who_may_and_who_may_not():
    writers = who_can(PROD, "write", "paragon/clockwork/commands/door")

    assert "admin" in writers
    assert "paragon_devices" not in writers
    assert "paragon_devices" in who_can(PROD, "read", "paragon/clockwork/commands/door")


def test_a_filter_asks_for_anybody_who_may_some_of_it():
    assert set(who_can(PROD, "read", "$SYS/#")) == {"sentient_monitor_prod", "healthcheck"}
    assert who_can(PROD, "write", "$SYS/#") == {}
