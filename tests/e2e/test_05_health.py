"""Docker's health status distinguishes a broker that answers from one that hangs."""

import os
import signal
from pathlib import Path

from patience import eventually


def _status(site):
    return site.inspect()["State"]["Health"]["Status"]


def test_hanging_broker_is_unhealthy_until_it_answers_again(site):
    eventually(lambda: _status(site) == "healthy", 30)
    init = site.inspect()["State"]["Pid"]
    (broker,) = map(int, Path(f"/proc/{init}/task/{init}/children").read_text().split())
    os.kill(broker, signal.SIGSTOP)
    try:
        eventually(lambda: _status(site) == "unhealthy", 60)
    finally:
        os.kill(broker, signal.SIGCONT)
    eventually(lambda: _status(site) == "healthy", 30)


def test_health_check_logs_in_without_a_password_in_its_command(site):
    command = site.inspect()["Config"]["Healthcheck"]["Test"]
    assert command[:2] == ["CMD", "mosquitto_sub"]
    assert not {"-P", "--pw", "-u"} & set(command)
    log = site.docker("logs", site.container)
    assert "u'healthcheck'" in log
