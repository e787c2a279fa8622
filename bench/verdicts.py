"""How many verdicts a second the simulator gives, against asking the broker one by one."""

import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bootstrap.daemon import ensure_daemon
from bootstrap.image import FALLBACK_SUITE, fallback_image
from broker.access.evaluate import evaluate
from broker.access.rules import Principal, Rule

SECONDS = 5.0
FILTERS = ("paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#")
TOPICS = ("paragon/clockwork/sensors/door", "paragon/clockwork/commands/door", "elsewhere")
NAME = "bench-verdicts"


def simulated() -> float:
    """Return the simulator's verdicts a second."""
    rules = tuple(Rule(kind="topic", access="write", filter=each) for each in FILTERS)
    principal = Principal(name="device", topics=rules)
    return _rate(lambda topic: evaluate(principal, "publish", topic))


def asked() -> float:
    """Return the broker's verdicts a second: a QoS 1 publish each, and the code of its PUBACK."""
    daemon = ensure_daemon()
    with tempfile.TemporaryDirectory() as folder:
        conf = "listener 1883\nallow_anonymous true\nacl_file /mosquitto/config/acl\n"
        for name, text in (
            ("mosquitto.conf", conf),
            ("acl", "".join(f"topic write {each}\n" for each in FILTERS)),
        ):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        Path(folder).chmod(0o755)
        words = ("run", "--rm", "--detach", "--name", NAME, "--publish", "127.0.0.1::1883")
        image = fallback_image(FALLBACK_SUITE, daemon).name
        daemon.ask(*words, "--volume", f"{folder}:/mosquitto/config:ro", image)
        try:
            return _asked_of(int(daemon.ask("port", NAME, "1883/tcp").rpartition(":")[2]))
        finally:
            subprocess.run(daemon.argv("rm", "--force", NAME), capture_output=True, check=False)


def _asked_of(port: int) -> float:
    answered = threading.Event()

    def answer(*_: Any) -> None:
        answered.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = client.on_publish = answer
    deadline = time.monotonic() + 10
    while True:
        try:
            client.connect("127.0.0.1", port)
            client.loop_start()
            if answered.wait(2):
                break
        except OSError:
            if time.monotonic() > deadline:
                raise

    def ask(topic: str) -> None:
        answered.clear()
        client.publish(topic, b"", qos=1)
        answered.wait(5)

    rate = _rate(ask)
    client.disconnect()
    client.loop_stop()
    return rate


def _rate(ask: Any) -> float:
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        for topic in TOPICS:
            ask(topic)
            count += 1
    return count / (time.perf_counter() - began)


def main() -> None:
    """Print a line of the table in docs/explanation/bench.md."""
    mine, theirs = simulated(), asked()
    print(
        f"| verdicts a second, simulator against a broker asked one by one | "
        f"{mine / theirs:.0f} times | {mine:,.0f} against {theirs:,.0f} |"
    )


if __name__ == "__main__":
    main()
