"""Run a Prometheus and a node_exporter with the shipped rules and scrape configuration."""

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
        """Return ``data`` of the response of Prometheus' HTTP API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> dict[str, float]:
        """Return the value of each series, by its label ``listener``, otherwise ``broker``."""
        result = self.ask("query", query=expression)["result"]
        return {
            series["metric"].get("listener", series["metric"].get("broker", "")): float(
                series["value"][1]
            )
            for series in result
        }

    def alerts(self) -> dict[str, set[str]]:
        """Return the brokers of each alert that is pending or firing, by the alert's name."""
        brokers: dict[str, set[str]] = {}
        for alert in self.ask("alerts")["alerts"]:
            labels = alert["labels"]
            brokers.setdefault(labels["alertname"], set()).add(labels.get("broker", ""))
        return brokers


@contextmanager
def scraped(binaries: Path, folder: Path, exporter: int, textfiles: Path) -> Iterator[Prometheus]:
    """Run both with a scrape interval of one second; their logs are in *folder*."""
    ports = (free_port(), free_port())
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(MONITORING / file) for file in config["rule_files"]]
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
        prometheus = Prometheus(ports[0])
        eventually(lambda: _answers(prometheus), 30)
        yield prometheus
    finally:
        for process in running:
            process.terminate()
            process.wait(30)


def _answers(prometheus: Prometheus) -> bool:
    try:
        return prometheus.ask("query", query="vector(1)") is not None
    except OSError:
        return False
