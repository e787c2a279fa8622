"""The reader of mosquitto.conf opens the ports that Mosquitto opens, in both release lines."""

from __future__ import annotations

import subprocess

import pytest
from conftest import SUITES

from broker.adopt.login_files import Notes
from broker.adopt.mosquitto_conf_parser import read_conf

# Lines that stand above `listener 1884`, or below it after a `|`.
LINES = (
    "max_connections 5",
    "max_connections -1",
    "max_connections 5;max_connections -1",
    "max_qos 2",
    "max_qos 1",
    "protocol mqtt",
    "protocol websockets",
    "use_username_as_clientid false",
    "use_username_as_clientid true",
    "require_certificate false",
    "tls_keyform pem",
    "socket_domain ipv4",
    "cafile /x",
    "tls_version tlsv1.2",
    "mount_point x/",
    "max_topic_alias 5",
    "max_packet_size 100",
    "per_listener_settings true;password_file /tmp/empty",
    "per_listener_settings true;acl_file /tmp/empty",
    "per_listener_settings true;allow_zero_length_clientid false",
    "|port 1883",
    "|bind_address 127.0.0.1",
)
RUN = """
touch /tmp/empty
while read -r conf; do
  printf '%s' "$conf" | tr ';' '\\n' >/tmp/conf
  : >/tmp/log
  mosquitto -c /tmp/conf >>/tmp/log 2>&1 &
  pid=$!
  until grep -q 'mosquitto version .* running' /tmp/log; do
    grep -q Error /tmp/log && break
    usleep 5000
  done
  if grep -q Error /tmp/log; then
    echo stops
  else
    echo listens $(awk '$4 == "0A" { print $2 }' /proc/net/tcp)
  fi
  kill -9 "$pid"
  wait "$pid" 2>/dev/null
done
true
"""


@pytest.mark.parametrize("line", SUITES)
def test_reader_agrees_with_mosquitto_about_the_default_listener(line, daemon, fallback_image):
    confs = []
    for lines in LINES:
        above, _, below = lines.partition("|")
        confs.append(";".join(filter(None, (above, "listener 1884", below))))
    argv = daemon.argv(
        *("run", "--rm", "--interactive", "--network", "none", "--entrypoint", "sh"),
        *(fallback_image(SUITES[line]), "-c", RUN),
    )
    done = subprocess.run(
        argv,
        input="".join(f"{conf};\n" for conf in confs),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    answers = [answer for answer in done.stdout.split("\n") if answer]
    assert len(answers) == len(confs), done.stderr
    for conf, answer in zip(confs, answers, strict=True):
        notes = Notes()
        found = read_conf("conf", {"conf": conf.replace(";", "\n")}, notes, line)
        ports = sorted(port for port, *_ in found.opened())
        if answer == "stops":
            # What only config__check finds is left to Mosquitto, which opens nothing.
            assert notes.errors or "cafile" in conf, conf
        else:
            opened = sorted(int(word.partition(":")[2], 16) for word in answer.split()[1:])
            assert (ports, notes.errors) == (opened, []), conf
