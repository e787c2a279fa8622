"""Docker's health status tells a broker that answers from one that hangs."""

import os
import signal
from pathlib import Path

from patience import eventually


def _status(site):
    return site.inspect()["State"]["Health"]["Status"]


def test_a_broker_that_answers_is_healthy_and_one_that_hangs_is_not(site):
    eventually(lambda: _status(site) == "healthy", 30)
    init = site.inspect()["State"]["Pid"]
    (broker,) = map(int, Path(f"/proc/{init}/task/{init}/children").read_text().split())
    os.kill(broker, signal.SIGSTOP)
    try:
        eventually(lambda: _status(site) == "unhealthy", 60)
    finally:
        os.kill(broker, signal.SIGCONT)
    eventually(lambda: _status(site) == "healthy", 30)


def test_the_check_is_a_login_that_shows_no_password(site):
    command = site.inspect()["Config"]["Healthcheck"]["Test"]
    assert command[:2] == ["CMD", "mosquitto_sub"]
    assert not {"-P", "--pw", "-u"} & set(command)
    log = site.docker("logs", site.container)
    assert "u'healthcheck'" in log
