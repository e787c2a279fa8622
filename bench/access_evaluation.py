"""Compare the rate of access evaluations in the model with that of publishes to a broker."""

import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bootstrap.broker_image import FALLBACK_SUITE, fallback_image
from bootstrap.docker_daemon import ensure_daemon
from broker.access.evaluate import evaluate
from broker.access.rules import Principal, Rule

SECONDS = 5.0
FILTERS = ("paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#")
TOPICS = ("paragon/clockwork/sensors/door", "paragon/clockwork/commands/door", "elsewhere")
NAME = "bench-access-evaluation"


def rate_of_model() -> float:
    """Return the evaluations of the model per second."""
    rules = tuple(Rule(kind="topic", access="write", filter=filter_) for filter_ in FILTERS)
    principal = Principal(name="device", topics=rules)
    return _rate(lambda topic: evaluate(principal, "publish", topic))


def rate_of_broker() -> float:
    """Return the QoS 1 publishes per second, each answered by a PUBACK with its reason code."""
    daemon = ensure_daemon()
    with tempfile.TemporaryDirectory() as folder:
        conf = "listener 1883\nallow_anonymous true\nacl_file /mosquitto/config/acl\n"
        for name, text in (
            ("mosquitto.conf", conf),
            ("acl", "".join(f"topic write {filter_}\n" for filter_ in FILTERS)),
        ):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        Path(folder).chmod(0o755)
        words = ("run", "--rm", "--detach", "--name", NAME, "--publish", "127.0.0.1::1883")
        image = fallback_image(FALLBACK_SUITE, daemon).name
        daemon.ask(*words, "--volume", f"{folder}:/mosquitto/config:ro", image)
        try:
            return _rate_of_publishes(int(daemon.ask("port", NAME, "1883/tcp").rpartition(":")[2]))
        finally:
            subprocess.run(daemon.argv("rm", "--force", NAME), capture_output=True, check=False)


def _rate_of_publishes(port: int) -> float:
    answered = threading.Event()

    def on_answer(*_: Any) -> None:
        answered.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = client.on_publish = on_answer
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

    def publish(topic: str) -> None:
        answered.clear()
        client.publish(topic, b"", qos=1)
        answered.wait(5)

    rate = _rate(publish)
    client.disconnect()
    client.loop_stop()
    return rate


def _rate(evaluate_topic: Any) -> float:
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        for topic in TOPICS:
            evaluate_topic(topic)
            count += 1
    return count / (time.perf_counter() - began)


def main() -> None:
    """Print a row for the table in docs/explanation/bench.md."""
    model, broker = rate_of_model(), rate_of_broker()
    print(
        f"| access evaluations per second, model against single publishes to a broker | "
        f"{model / broker:.0f} times | {model:,.0f} against {broker:,.0f} |"
    )


if __name__ == "__main__":
    main()
