"""A Prometheus and a node_exporter of the test's own, on the rules and scrapes as shipped."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from patience import eventually
from ports import free_port

MONITORING = Path(__file__).parent.parent.parent / "monitoring"


@dataclass(frozen=True)
class Prometheus:
    port: int

    def ask(self, path: str, **query: str) -> Any:
        """Return ``data`` of an answer of Prometheus' HTTP API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> dict[str, float]:
        """Return the value of each series, by its label ``listener`` or, without one, broker."""
        found = self.ask("query", query=expression)["result"]
        return {
            each["metric"].get("listener", each["metric"].get("broker", "")): float(
                each["value"][1]
            )
            for each in found
        }

    def alerts(self) -> dict[str, set[str]]:
        """Return the brokers of each alert that is pending or fires, by its name."""
        named: dict[str, set[str]] = {}
        for each in self.ask("alerts")["alerts"]:
            labels = each["labels"]
            named.setdefault(labels["alertname"], set()).add(labels.get("broker", ""))
        return named


@contextmanager
def scraped(binaries: Path, folder: Path, exporter: int, textfiles: Path) -> Iterator[Prometheus]:
    """Run both, a look each second, until the end; what they log is in *folder*."""
    ports = (free_port(), free_port())
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(MONITORING / each) for each in config["rule_files"]]
    targets = {"sentient-mqtt": exporter, "node": ports[1]}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    commands = (
        [
            *(binaries / "prometheus", f"--config.file={folder}/prometheus.yml"),
            *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{ports[0]}"),
        ],
        [
            *(binaries / "prometheus-node-exporter", "--collector.disable-defaults"),
            *("--collector.textfile", f"--collector.textfile.directory={textfiles}"),
            f"--web.listen-address=127.0.0.1:{ports[1]}",
        ],
    )
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = (folder / f"{Path(command[0]).name}.log").open("wb")
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        found = Prometheus(ports[0])
        eventually(lambda: _answers(found), 30)
        yield found
    finally:
        for each in running:
            each.terminate()
            each.wait(30)


def _answers(prometheus: Prometheus) -> bool:
    try:
        return prometheus.ask("query", query="vector(1)") is not None
    except OSError:
        return False
