"""
Attack the scripts that run as root from processes of other users of the host.

First each script of host/ runs undisturbed under strace(1). Then it runs while a process of another
user (the broker's, an application's or node_exporter's) places symbolic links, hard links, FIFOs
and folders at every name in folders of that user, or exchanges the names. The attack fails if
nothing outside of the product's folders is created, read, changed or deleted.

``--scripts FOLDER`` attacks the scripts of another checkout, such as one of version 0.1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.attacks.race import Racer, Result, Studied, plan, race, racer, study
from bench.attacks.script import scripts
from bench.attacks.stack import LIMIT, ROOT, WHOSE, Stack, stack
from bootstrap import packages
from bootstrap.broker_image import fallback_image
from bootstrap.docker_daemon import ensure_daemon

ROUNDS = 200
NEEDED = ("gcc", "libc6-dev", "logrotate", "openssl", "strace")
"""Debian packages of the programs that this benchmark runs."""
EXAMPLES = 3
"""The number of attacks that the report names per effect."""


def main() -> None:
    """Attack every script; exit with 1 if an attack had an effect."""
    parser = argparse.ArgumentParser(description="Attack the scripts of host/.")
    parser.add_argument("--scripts", type=Path, default=ROOT, help="a checkout with host/")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="per script and attacker")
    parser.add_argument("--only", action="append", default=[], help="the name of a script")
    parser.add_argument(
        "--stop-after", type=int, default=0, help="rounds with an effect; 0: do not stop"
    )
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds per script")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--suite", default="trixie", help="trixie: Mosquitto 2.0; forky: 2.1")
    options = parser.parse_args()
    packages.install(NEEDED, what="attacks on the scripts")
    daemon = ensure_daemon()
    results: list[Result] = []
    studies: list[Studied] = []
    began = time.monotonic()
    image = fallback_image(options.suite, daemon).name
    with stack(options.scripts.resolve(), daemon, image) as target, racer() as attacker:
        target.limit = options.limit
        for script in scripts(target):
            if options.only and script.name not in options.only:
                continue
            studied = study(target, script)
            target.heal()
            studies.append(studied)
            for uid, names in studied.names.items():
                if names:
                    result = _race(target, studied, uid, attacker, options)
                    results.append(result)
                    _progress(result, time.monotonic() - began)
        base = str(target.base)
    print("\n".join(report(studies, results, base)))
    sys.exit(1 if any(result.effects or result.unclear for result in results) else 0)


def _race(
    target: Stack, studied: Studied, uid: int, attacker: Racer, options: argparse.Namespace
) -> Result:
    """Race in steps, so that a run against a version with faults may end early."""
    names = studied.names[uid]
    attacks = plan(names, options.rounds, options.seed)
    total = Result(script=studied.script.name, whose=WHOSE[uid], names=names)
    step = 1 if options.stop_after else len(attacks)
    for first in range(0, len(attacks), step):
        some = attacks[first : first + step]
        total.merge(
            race(target, studied.script, names=names, uid=uid, attacker=attacker, attacks=some)
        )
        successful = {attack for attacks in total.effects.values() for attack in attacks}
        if options.stop_after and len(successful) >= options.stop_after:
            break
    return total


def _progress(result: Result, seconds: float) -> None:
    counts = f"{len(result.effects)} effects, {len(result.unclear)} unclear ends"
    print(
        f"{seconds:6.0f} s {result.script}: {result.rounds} rounds by {result.whose}: {counts}",
        file=sys.stderr,
        flush=True,
    )


def report(studies: Iterable[Studied], results: list[Result], base: str) -> Iterator[str]:
    """Yield the lines of the report: a table, then the effects with their attacks."""
    yield "| script | against the rule | attacker | names raced | rounds | ended | effects |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for studied in studies:
        of_script = [result for result in results if result.script == studied.script.name]
        if not of_script:
            yield f"| {studied.script.name} | {len(studied.violations)} | none | 0 | | | |"
        for result in of_script:
            failed = result.rounds - result.succeeded - len(result.unclear)
            yield (
                f"| {result.script} | {len(studied.violations)} | {result.whose} | "
                f"{len(result.names)} | {result.rounds} | "
                f"{result.succeeded} succeeded, {failed} failed with an error | "
                f"{len(result.effects)} |"
            )
    yield ""
    for result in results:
        for effect, attacks in sorted(result.effects.items()):
            texts = [text.replace(base, "") for text in attacks]
            yield f"- {result.script}: {effect}: {_examples(texts)}"
        for text in result.unclear:
            yield f"- {result.script}: no clear end: {text.replace(base, '')}"
    against = sum(len(studied.violations) for studied in studies)
    yield ""
    yield (
        f"{sum(result.rounds for result in results):,} rounds, "
        f"{sum(result.planted for result in results):,} names taken, "
        f"{sum(result.refused for result in results):,} hard links refused by the kernel: "
        f"{sum(len(result.effects) for result in results)} effects, "
        f"{sum(len(result.unclear) for result in results)} unclear ends; "
        f"{against} paths that root touched against the rule."
    )


def _examples(texts: list[str]) -> str:
    """Return a few of the attacks with an effect, those at one name first, and the remainder."""
    counted = sorted(Counter(texts).items(), key=lambda item: (" all " in item[0], -item[1]))
    shown = "; ".join(
        text if times == 1 else f"{text} ({times})" for text, times in counted[:EXAMPLES]
    )
    return shown + (f"; and {len(counted) - EXAMPLES} more" if len(counted) > EXAMPLES else "")


if __name__ == "__main__":
    main()
