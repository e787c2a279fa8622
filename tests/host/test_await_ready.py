"""A broker is ready if it admits its health user and refuses a client without a password."""

from host_under_test import SOCKET, call


def ready(host, seconds=5, action="apply"):
    return host.run(
        "lib/database.sh commands/await_ready.sh",
        call("database", "mqtt", SOCKET, "image:1", host.folder / "data"),
        call("broker", "127.0.0.1", 1883, seconds, 64),
        action=action,
    )


def broker(host, *, health, anonymous=5):
    host.docker(
        f'case "$*" in *mqtt-former) exit 1 ;; *XDG_CONFIG_HOME=/nonexistent*) exit {anonymous} ;;'
        f' *mosquitto_sub*) {health} ;; *logs*) echo "the last line" ;; esac'
    )


def test_broker_that_admits_only_its_health_user_is_ready(host):
    broker(host, health="exit 0")

    done = ready(host)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(host.calls("mosquitto_sub")) == 2


def test_health_user_retries_until_it_is_admitted(host):
    broker(host, health=f'[ $(wc -l <"{host.calls_file}") -ge 3 ] || exit 1')

    assert ready(host).returncode == 0
    assert len(host.calls("XDG_CONFIG_HOME=/nonexistent")) == 1


def test_timeout_prints_the_end_of_the_brokers_log(host):
    broker(host, health="exit 1")

    done = ready(host, seconds=1)

    assert done.returncode == 1
    assert done.stderr == (
        "container mqtt: its health user could not log in for 1 seconds. The last lines of the "
        "broker's log:\nthe last line\n"
    )


def test_broker_that_admits_anonymous_clients_is_not_ready(host):
    for status in (0, 27):
        broker(host, health="exit 0", anonymous=status)
        done = ready(host)
        assert done.returncode == 1
        assert "admits a client without a password" in done.stderr


def test_client_that_could_not_run_does_not_count_as_refused(host):
    """126: `docker exec` could not run the client. 1: nothing listens."""
    for status in (1, 126):
        broker(host, health="exit 0", anonymous=status)
        done = ready(host)
        assert done.returncode == 1
        assert f"is unknown: mosquitto_sub ended with {status}" in done.stderr


def test_no_password_is_on_a_command_line(host):
    broker(host, health="exit 0")

    ready(host)

    assert not host.calls(" -P")
    assert not host.calls(" -u")


def test_removal_calls_no_docker(host):
    assert ready(host, action="remove").returncode == 0
    assert host.calls() == []
