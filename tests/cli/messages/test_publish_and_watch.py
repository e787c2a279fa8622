"""`./brokerctl publish` and `watch`: their arguments, and how a message is printed."""

import pytest

from cli.errors import NotPerformedError
from cli.messages.watch import line
from cli.mqtt_client import Message

UP = {"credentials": {"sensor": {"username": "sensor", "password": "s3cret", "url": ""}}}


@pytest.fixture
def ready(desk):
    desk.outputs = UP
    desk.pulumi("exit 0")
    return desk


@pytest.mark.parametrize("command", ["watch", "publish"])
class TestArguments:
    def test_without_a_user_it_is_a_usage_error(self, ready, command):
        with pytest.raises(SystemExit) as ended:
            ready.run(command)
        assert ended.value.code == 2

    def test_an_unknown_user_is_an_error(self, ready, command):
        with pytest.raises(NotPerformedError, match="Did you mean 'sensor'"):
            ready.run(command, "senser", "paragon/x")

    def test_a_user_that_is_not_deployed_is_an_error(self, ready, command):
        ready.outputs = {}
        ready.pulumi("exit 0")
        with pytest.raises(
            NotPerformedError, match="user 'sensor' of stack 'test' is not up yet: run "
        ):
            ready.run(command, "sensor", "paragon/x")

    def test_an_invalid_topic_is_an_error(self, ready, command):
        with pytest.raises(NotPerformedError, match="topic 'a/#/b': '#' must be the last level"):
            ready.run(command, "sensor", "a/#/b")


def test_publishing_to_a_wildcard_is_an_error(ready):
    with pytest.raises(NotPerformedError, match="wildcards are for subscriptions"):
        ready.run("publish", "sensor", "paragon/+/x")


def test_control_characters_of_a_message_are_escaped():
    message = Message(topic="a/\u202eb", payload=b"caf\xc3\xa9\x1b[2J\nnext\xff")

    assert line(message) == "a/\\u202eb café\\x1b[2J\\nnext\\xff"
