"""What a person types every day: it says what it did, or what to do first."""

import pytest

import cli.messages.watch
from cli.errors import CommandError, NotPerformedError
from cli.mqtt_client import Message

NO_CONTAINER = r"no container mosquitto-test\. Run: \./brokerctl up --stack test"
UP = {"credentials": {"sensor": {"username": "sensor", "password": "s3cret", "url": ""}}}


@pytest.fixture
def ready(desk):
    desk.outputs = UP
    desk.pulumi("exit 0")
    return desk


def docker(desk, body):
    """A docker client that writes down how it was called, and goes on with *body*, in sh."""
    calls = desk.folder / "docker-calls"
    (desk.bin / "docker").write_text(f'#!/bin/sh\nshift 2\necho "$*" >>"{calls}"\n{body}\n')
    (desk.bin / "docker").chmod(0o755)
    return lambda: calls.read_text().splitlines()


@pytest.mark.parametrize("command", ["watch", "publish"])
class TestAsWhom:
    def test_nobody_was_named(self, ready, command):
        with pytest.raises(SystemExit) as ended:
            ready.run(command)
        assert ended.value.code == 2

    def test_nobody_of_that_name(self, ready, command):
        with pytest.raises(NotPerformedError, match="Did you mean 'sensor'"):
            ready.run(command, "senser", "paragon/x")

    def test_one_who_is_not_up_yet(self, ready, command):
        ready.outputs = {}
        ready.pulumi("exit 0")
        with pytest.raises(
            NotPerformedError, match="user 'sensor' of stack 'test' is not up yet: run "
        ):
            ready.run(command, "sensor", "paragon/x")

    def test_a_topic_that_is_none(self, ready, command):
        with pytest.raises(NotPerformedError, match="topic 'a/#/b': '#' must be the last level"):
            ready.run(command, "sensor", "a/#/b")


def test_a_message_goes_to_one_topic(ready):
    with pytest.raises(NotPerformedError, match="wildcards are for whoever receives"):
        ready.run("publish", "sensor", "paragon/+/x")


def test_a_message_is_one_line_that_steers_no_terminal():
    message = Message(topic="a/\u202eb", payload=b"caf\xc3\xa9\x1b[2J\nnext\xff")

    assert cli.messages.watch.line(message) == "a/\\u202eb café\\x1b[2J\\nnext\\xff"


class TestLogs:
    def test_they_are_dockers(self, desk):
        calls = docker(desk, "exit 0")
        desk.run("logs", "--lines", "7", "--follow")
        assert calls()[-1] == "logs --tail 7 --follow mosquitto-test"

    def test_without_a_container_there_are_none(self, desk):
        docker(desk, 'echo "Error: No such object: mosquitto-test" >&2; exit 1')
        with pytest.raises(CommandError, match=NO_CONTAINER):
            desk.run("logs")

    def test_what_docker_says_otherwise_is_told(self, desk):
        docker(desk, 'echo "permission denied" >&2; exit 1')
        with pytest.raises(CommandError, match="docker inspect: permission denied"):
            desk.run("logs")


class TestStatus:
    def test_one_that_ended_is_a_failure(self, ready, capsys):
        docker(ready, 'echo "exited|unhealthy|2026-01-02T03:04:05Z|0"')
        with pytest.raises(
            CommandError, match=r"not well\. What it said: \./brokerctl logs --stack test"
        ):
            ready.run("status")
        assert "container mosquitto-test: exited" in capsys.readouterr().out

    def test_one_that_runs_is_told_of_though_nobody_may_read_its_statistics(self, ready, capsys):
        docker(
            ready,
            'case "$1" in\n'
            'inspect) echo "running|healthy|2026-01-02T03:04:05Z|0" ;;\n'
            'stats) echo "3MiB / 2GiB|0.1%" ;;\n'
            'exec) echo "0: 0200A8C0:075B 0100A8C0:9C40 01" ;;\n'
            "esac",
        )
        ready.run("status")
        said = capsys.readouterr().out
        assert "memory: 3MiB / 2GiB; processor: 0.1%\n" in said
        assert "connections: 1 (mqtt 1)\n" in said
        assert "clients and rates: not asked" in said


def test_a_container_that_is_not_there_is_not_restarted(ready):
    calls = docker(ready, 'echo "Error: No such object: mosquitto-test" >&2; exit 1')
    with pytest.raises(CommandError, match=NO_CONTAINER):
        ready.run("restart")
    assert calls() == ["inspect --format {{.Image}} mosquitto-test"]


AS_ROOT = {
    "backup": ("backup", "create"),
    "certificate": ("certificate", "sensor", "--out", "OUT"),
    "refused": ("refused",),
    "restart": ("restart",),
    "restore": ("backup", "restore", "latest"),
    "verify": ("backup", "verify"),
}


class TestImageOfTheWayToRoot:
    """With ``become: docker``, a login other than root works in a container."""

    @pytest.fixture
    def site(self, ready):
        tls = {"port": 8883, "tls": {"clientCertificates": "required"}}
        plain = {"port": 1883, "bindAddress": "127.0.0.1"}
        ready.write(
            become="docker",
            image="declared:2.1.2",
            backups={"folder": "/srv/backups"},
            listeners={"mqtt": plain, "mqtts": tls},
        )
        (ready.bin / "id").write_text("#!/bin/sh\necho 1000\n")
        (ready.bin / "id").chmod(0o755)
        return ready

    def run(self, site, command):
        out = str(site.folder / "out")
        site.run(*(out if word == "OUT" else word for word in AS_ROOT[command]))

    @pytest.mark.parametrize("command", AS_ROOT)
    def test_it_is_that_of_the_container_whatever_is_declared(self, site, command):
        calls = docker(site, 'case "$1" in inspect) echo sha256:running ;; *) exit 1 ;; esac')

        with pytest.raises(CommandError):
            self.run(site, command)

        (run,) = [call for call in calls() if call.startswith("run ")]
        assert " sha256:running -c exec chroot /host sh -s " in run
        # No engine is needed for it.
        assert site.calls() == []

    # A log outlives its container.
    @pytest.mark.parametrize("command", sorted(AS_ROOT.keys() - {"refused"}))
    def test_without_a_container_none_is_pulled(self, site, command):
        calls = docker(site, 'echo "Error: No such object: mosquitto-test" >&2; exit 1')

        with pytest.raises(CommandError, match=NO_CONTAINER):
            self.run(site, command)

        assert calls() == ["inspect --format {{.Image}} mosquitto-test"]


class TestExplain:
    def test_a_filter_is_a_question(self, desk, capsys):
        desk.run("explain", "sensor", "$SYS/#")
        assert "sensor may not publish to any of $SYS/#" in capsys.readouterr().out

    def test_an_empty_level_is_a_topic_that_a_client_may_use(self, desk, capsys):
        desk.run("explain", "sensor", "/a")
        assert "sensor may not publish to /a" in capsys.readouterr().out

    @pytest.mark.parametrize("topic", ["", "a/#/b", "a+"])
    def test_what_is_neither_topic_nor_filter_is_refused(self, desk, topic):
        with pytest.raises(CommandError, match=r"^topic "):
            desk.run("explain", "sensor", topic)
