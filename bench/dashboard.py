"""Draw docs/explanation/dashboard.svg: monitoring/dashboard.json with data of a loaded broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.clients import Address, Client, LoginRefusedError, free_port
from bench.panels import Line, render_panels
from bench.site import temporary_stack
from bootstrap import apt
from bootstrap.broker_image import EXPORTER, FALLBACK_SUITE, fallback_image
from bootstrap.docker_daemon import ensure_daemon
from cli.stack import ROOT

BOARD = ROOT / "monitoring" / "dashboard.json"
PAGE = ROOT / "docs" / "explanation" / "dashboard.svg"
MONITORING_USER = "sentient_monitor_prod"
SECONDS = 240
INTERVAL = 5.0
"""Seconds between two runs of the host's metrics script; in a deployment it runs every minute."""
CONTROLLERS = 60
"""The number of controllers at the end."""


def main() -> None:
    """Deploy a stack with its exporter, put it under load for minutes, and draw the metrics."""
    fallback_image(FALLBACK_SUITE, ensure_daemon(), EXPORTER)
    binaries = apt.unpack(("prometheus", "prometheus-node-exporter"), what="bench") / "usr/bin"
    with temporary_stack("dashboard") as stack:
        site = stack.site
        textfiles, backups = site.folder / "textfiles", site.folder / "backups"
        port = free_port()

        def declare(config: dict[str, Any]) -> None:
            broker = config["broker"]
            broker["monitoring"] = {
                "user": MONITORING_USER,
                "port": port,
                "textfile": str(textfiles),
            }
            broker["backups"] = {"folder": str(backups)}
            broker["limits"]["maxConnections"] = 100
            broker["listeners"]["mqtt"]["plain"] = True
            broker["listeners"]["mqtts"] = {
                "port": free_port(),
                "bindAddress": "127.0.0.1",
                "tls": {},
            }

        stack.edit(declare)
        stack.up()
        scripts = Path("/etc/sentient-mqtt", site.container)
        try:
            _run(scripts / "backup")
            _run(scripts / "textfile")
            scraped = import_module("scraping").scraped
            with scraped(binaries, site.folder / "prometheus", port, textfiles) as prometheus:
                began = time.time()
                asyncio.run(_work(site, scripts / "textfile"))
                board = json.loads(BOARD.read_text(encoding="utf-8"))
                lines = {
                    panel["id"]: [*_lines(prometheus, panel, site.container, began)]
                    for panel in board["panels"]
                }
        finally:
            site.destroy()
    empty = [panel["title"] for panel in board["panels"] if not lines[panel["id"]]]
    if empty:
        sys.exit(f"{BOARD.name}: no data in {', '.join(empty)}")
    PAGE.write_text(render_panels(board, lines), encoding="utf-8")
    print(f"| {BOARD.name}: panels with data | {len(lines)} | of {len(lines)} |")


def _run(script: Path) -> None:
    subprocess.run(["sh", script, "apply"], check=True, capture_output=True)


def _lines(prometheus: Any, panel: Any, broker: str, began: float) -> Iterator[Line]:
    for target in panel["targets"]:
        result = prometheus.ask(
            "query_range",
            query=target["expr"].replace("$broker", broker),
            start=f"{began:.0f}",
            end=f"{time.time():.0f}",
            step="2",
        )["result"]
        for series in result:
            points = [(float(at), float(value)) for at, value in series["values"]]
            yield Line(target["legendFormat"], points)


async def _work(site: Any, script: Path) -> None:
    """Run a growing number of controllers, a subscriber, and logins with a wrong password."""
    device, api = (
        Address(host="127.0.0.1", port=site.ports[0], user=user, password=site.password(user))
        for user in ("paragon_devices", "sentient_api_prod")
    )
    wrong_login = Address(host="127.0.0.1", port=site.ports[0], user="admin", password="guess")  # noqa: S106 (a wrong one)
    site.publish_durable_messages()
    chance = random.Random(1)  # noqa: S311 (a load, not a secret)
    reader = await Client.dial(api, "dashboard-api")
    await reader.subscribe("paragon/#")
    clients: list[Client] = []
    end, next_run, number = time.monotonic() + SECONDS, 0.0, 0
    while (left := end - time.monotonic()) > 0:
        required = int(CONTROLLERS * (1 - left / SECONDS)) + 5
        while len(clients) < required:
            clients.append(await Client.dial(device, f"dashboard-{len(clients)}"))
        for client in chance.sample(clients, len(clients) // 2):
            number += 1
            client.publish(
                f"paragon/room-{number % 9}/events/bench", b"x" * 60, number % 60_000 + 1
            )
        if chance.random() < 0.04:  # noqa: PLR2004 (about one wrong login in five seconds)
            with contextlib.suppress(LoginRefusedError):
                (await Client.dial(wrong_login, "stranger")).abort()
        if time.monotonic() >= next_run:
            await asyncio.to_thread(_run, script)
            next_run = time.monotonic() + INTERVAL
        await asyncio.sleep(0.2)
    for client in (*clients, reader):
        client.abort()


if __name__ == "__main__":
    main()
