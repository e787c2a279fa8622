"""monitoring/dashboard.json as it looks on a broker that works: docs/explanation/dashboard.svg."""

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

from bench.clients import Address, Client, TurnedAwayError, free_port
from bench.panels import Line, render_panels
from bench.site import temporary_stack
from bootstrap import apt
from bootstrap.daemon import ensure_daemon
from bootstrap.image import EXPORTER, FALLBACK_SUITE, fallback_image
from cli.stack import ROOT

BOARD = ROOT / "monitoring" / "dashboard.json"
PAGE = ROOT / "docs" / "explanation" / "dashboard.svg"
READER = "sentient_monitor_prod"
SECONDS = 240
TICK = 5.0
"""Seconds between two looks of the host's script; a minute where cron starts it."""
MOST = 60
"""Controllers, at the end."""


def main() -> None:
    """Bring a stack up with its exporter, have it work for minutes, and draw what was scraped."""
    fallback_image(FALLBACK_SUITE, ensure_daemon(), EXPORTER)
    binaries = apt.unpack(("prometheus", "prometheus-node-exporter"), what="bench") / "usr/bin"
    with temporary_stack("dashboard") as stack:
        site = stack.site
        textfiles, backups = site.folder / "textfiles", site.folder / "backups"
        port = free_port()

        def declare(config: dict[str, Any]) -> None:
            broker = config["broker"]
            broker["monitoring"] = {"user": READER, "port": port, "textfile": str(textfiles)}
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
    empty = [each["title"] for each in board["panels"] if not lines[each["id"]]]
    if empty:
        sys.exit(f"{BOARD.name}: nothing to show in {', '.join(empty)}")
    PAGE.write_text(render_panels(board, lines), encoding="utf-8")
    print(f"| {BOARD.name}: panels with something to show | {len(lines)} | of {len(lines)} |")


def _run(script: Path) -> None:
    subprocess.run(["sh", script, "apply"], check=True, capture_output=True)


def _lines(prometheus: Any, panel: Any, broker: str, began: float) -> Iterator[Line]:
    for target in panel["targets"]:
        found = prometheus.ask(
            "query_range",
            query=target["expr"].replace("$broker", broker),
            start=f"{began:.0f}",
            end=f"{time.time():.0f}",
            step="2",
        )["result"]
        for each in found:
            points = [(float(at), float(value)) for at, value in each["values"]]
            yield Line(target["legendFormat"], points)


async def _work(site: Any, script: Path) -> None:
    """More and more controllers, a reader that is away for a while, and somebody who guesses."""
    device, api = (
        Address(host="127.0.0.1", port=site.ports[0], user=each, password=site.password(each))
        for each in ("paragon_devices", "sentient_api_prod")
    )
    guess = Address(host="127.0.0.1", port=site.ports[0], user="admin", password="guess")  # noqa: S106 (a wrong one)
    site.keep_promises()
    draw = random.Random(1)  # noqa: S311 (a load, not a secret)
    reader = await Client.dial(api, "dashboard-api")
    await reader.subscribe("paragon/#")
    clients: list[Client] = []
    end, tick, number = time.monotonic() + SECONDS, 0.0, 0
    while (left := end - time.monotonic()) > 0:
        wanted = int(MOST * (1 - left / SECONDS)) + 5
        while len(clients) < wanted:
            clients.append(await Client.dial(device, f"dashboard-{len(clients)}"))
        for each in draw.sample(clients, len(clients) // 2):
            number += 1
            each.publish(f"paragon/room-{number % 9}/events/bench", b"x" * 60, number % 60_000 + 1)
        if draw.random() < 0.04:  # noqa: PLR2004 (about one guess in five seconds)
            with contextlib.suppress(TurnedAwayError):
                (await Client.dial(guess, "stranger")).abort()
        if time.monotonic() >= tick:
            await asyncio.to_thread(_run, script)
            tick = time.monotonic() + TICK
        await asyncio.sleep(0.2)
    for each in (*clients, reader):
        each.abort()


if __name__ == "__main__":
    main()
