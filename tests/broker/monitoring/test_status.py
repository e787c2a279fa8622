"""The status of a broker, from Docker, the kernel and the broker."""

from dataclasses import replace

import pytest
from declared import settings_of

from broker.monitoring.status import SYSTEM, Status, connections, readers, render_status

SETTINGS = settings_of("prod")
RUNS = Status.parse("running|healthy|2026-01-02T03:04:05.678Z|2\n")

# proc(5). 1883 is 075B, 9001 is 2329; 0A is LISTEN, 01 is ESTABLISHED, 06 is TIME_WAIT.
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1883
   1: 0200A8C0:075B 0100A8C0:9C40 01 00000000:00000000 00:00000000 00000000  1883
   2: 0200A8C0:2329 0100A8C0:9C41 01 00000000:00000000 00:00000000 00000000  1883
   3: 0200A8C0:2329 0100A8C0:9C42 06 00000000:00000000 00:00000000 00000000  1883
   4: 0100007F:9C43 0100007F:075B 01 00000000:00000000 00:00000000 00000000  1883
  sl  local_address                         remote_address                        st
   0: 0000000000000000FFFF00000200A8C0:075B 0000000000000000FFFF00000300A8C0:9C44 01 0
"""


def test_connections_are_counted_by_listener():
    assert connections(SETTINGS, TABLE) == {"mqtt": 2, "websocket": 1}


def test_listener_without_clients_is_listed():
    assert connections(SETTINGS, "") == {"mqtt": 0, "websocket": 0}


def test_readers_are_the_users_with_access_to_sys_topics():
    assert list(readers(SETTINGS)) == ["sentient_monitor_prod"]
    # '#' never matches them.
    assert list(readers(settings_of("dev"))) == []


@pytest.mark.parametrize(
    ("inspected", "well"),
    [
        ("running|healthy|2026-01-02T03:04:05Z|0", True),
        ("running|starting|2026-01-02T03:04:05Z|0", True),
        ("running|none|2026-01-02T03:04:05Z|0", True),
        ("running|unhealthy|2026-01-02T03:04:05Z|0", False),
        ("restarting|healthy|2026-01-02T03:04:05Z|9", False),
        ("exited|healthy|2026-01-02T03:04:05Z|0", False),
    ],
)
def test_broker_is_well_if_it_runs_and_its_health_check_does_not_fail(inspected, well):
    assert Status.parse(inspected).well is well


def test_status_lines_of_a_running_broker():
    status = replace(
        RUNS,
        memory="3MiB / 2GiB",
        processor="0.1%",
        connections={"mqtt": 2, "websocket": 1},
        reader="sentient_monitor_prod",
        system={
            f"{SYSTEM}clients/connected": "3",
            f"{SYSTEM}load/messages/received/1min": "4.20",
            f"{SYSTEM}retained messages/count": "57",
        },
    )

    lines = render_status(SETTINGS, status)

    assert lines[0] == (
        "container mosquitto-shared: running since 2026-01-02T03:04:05Z, health healthy, "
        "restarted 2 times by Docker"
    )
    assert lines[1:3] == [
        "memory: 3MiB / 2GiB; processor: 0.1%",
        "connections: 3 (mqtt 2, websocket 1)",
    ]
    assert lines[3].startswith("clients: connected 3, away with a session not published yet")
    assert lines[4].startswith("messages a minute: received 4.20, sent not published yet")
    assert lines[5].startswith("kept: retained 57, ")
    assert lines[-1] == "(the last 4 lines as sentient_monitor_prod)"


def test_status_without_a_reader_explains_how_to_add_one():
    line = render_status(SETTINGS, replace(RUNS, connections={"mqtt": 0}))[-1]

    assert line.startswith("clients and rates: not asked; no user whose password is known")
    assert 'read: ["$SYS/broker/#"]' in line


def test_status_names_the_failure_of_the_reader():
    line = render_status(SETTINGS, replace(RUNS, unread="mqtt://x:1: can't be reached"))[-1]

    assert line == "clients and rates: not asked; mqtt://x:1: can't be reached"


def test_status_of_a_stopped_broker_is_one_line():
    lines = render_status(SETTINGS, Status.parse("exited|unhealthy|2026-01-02T03:04:05Z|0"))

    assert lines == [
        "container mosquitto-shared: exited, health unhealthy, restarted 0 times by Docker"
    ]
