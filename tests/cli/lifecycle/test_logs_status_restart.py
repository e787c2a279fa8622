"""`./brokerctl logs`, `status` and `restart`."""

import pytest

import cli.lifecycle.restart
from cli.errors import CommandError
from cli.run_on_host import HostResult

NO_CONTAINER = r"no container mosquitto-test\. Run: \./brokerctl up --stack test"
UP = {"credentials": {"sensor": {"username": "sensor", "password": "s3cret", "url": ""}}}


@pytest.fixture
def ready(desk):
    desk.outputs = UP
    desk.pulumi("exit 0")
    return desk


class TestLogs:
    def test_the_options_are_passed_to_docker(self, desk, fake_docker):
        calls = fake_docker("exit 0")
        desk.run("logs", "--lines", "7", "--follow")
        assert calls()[-1] == "logs --tail 7 --follow mosquitto-test"

    def test_a_missing_container_is_an_error(self, desk, fake_docker):
        fake_docker('echo "Error: No such object: mosquitto-test" >&2; exit 1')
        with pytest.raises(CommandError, match=NO_CONTAINER):
            desk.run("logs")

    def test_another_error_of_docker_is_printed(self, desk, fake_docker):
        fake_docker('echo "permission denied" >&2; exit 1')
        with pytest.raises(CommandError, match="docker container inspect: permission denied"):
            desk.run("logs")


class TestStatus:
    def test_a_stopped_container_is_a_finding(self, ready, capsys, fake_docker):
        fake_docker('echo "exited|unhealthy|2026-01-02T03:04:05Z|0"')
        with pytest.raises(
            CommandError, match=r"not healthy\. Its log: \./brokerctl logs --stack test"
        ):
            ready.run("status")
        assert "container mosquitto-test: exited" in capsys.readouterr().out

    def test_without_access_to_statistics_the_rest_is_shown(self, ready, capsys, fake_docker):
        fake_docker(
            'case "$1" in\n'
            'container) echo "running|healthy|2026-01-02T03:04:05Z|0" ;;\n'
            'stats) echo "3MiB / 2GiB|0.1%" ;;\n'
            'exec) echo "0: 0200A8C0:075B 0100A8C0:9C40 01" ;;\n'
            "esac",
        )
        ready.run("status")
        out = capsys.readouterr().out
        assert "memory: 3MiB / 2GiB; processor: 0.1%\n" in out
        assert "connections: 1 (mqtt 1)\n" in out
        assert "clients and rates: not asked" in out


def test_a_missing_container_is_not_restarted(ready, fake_docker):
    calls = fake_docker('echo "Error: No such object: mosquitto-test" >&2; exit 1')
    with pytest.raises(CommandError, match=NO_CONTAINER):
        ready.run("restart")
    assert calls() == ["container inspect --format {{.Image}} mosquitto-test"]


class TestRestartIsSeen:
    """The script on the host reports success; the command looks itself."""

    @pytest.fixture
    def restart(self, ready, monkeypatch, fake_docker):
        """``restart(before, after, login)``: the answers of Docker, and the end of the login."""
        monkeypatch.setattr(
            cli.lifecycle.restart, "run_scripts", lambda *_, **__: HostResult(exit_code=0)
        )

        def restart(before, after, login="exit 0"):
            fake_docker(
                f'case "$*" in *StartedAt*) if [ -e "{ready.folder}/seen" ]; then echo "{after}"; '
                f'else touch "{ready.folder}/seen"; echo "{before}"; fi ;; exec*) {login} ;; esac'
            )
            ready.run("restart")

        return restart

    def test_it_is_reported_after_a_new_start_and_a_login(self, restart, capsys):
        restart("running 2026-01-02T03:04:05Z", "running 2026-01-02T03:05:05Z")
        assert "restarted at 2026-01-02 03:05:05 UTC" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("after", "login", "message"),
        [
            ("running 2026-01-02T03:04:05Z", "exit 0", "was not restarted; it runs since"),
            ("exited 2026-01-02T03:05:05Z", "exit 0", "is exited now"),
            ("running 2026-01-02T03:05:05Z", "echo refused >&2; exit 5", "health user: .*refused"),
        ],
    )
    def test_otherwise_it_is_an_error(self, restart, capsys, after, login, message):
        with pytest.raises(CommandError, match=message):
            restart("running 2026-01-02T03:04:05Z", after, login)
        assert "restarted at" not in capsys.readouterr().out
