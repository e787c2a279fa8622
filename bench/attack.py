"""
Scripts that run as root, raced by processes of other users of the host.

Each script of host/ runs undisturbed below strace(1) first. Then a process of the broker's user, of
an application's or of node_exporter's puts symbolic links, hard links, fifos and folders at every
name that lies in a folder of theirs, or renames it away and back, while the script runs. Nothing
outside of the product's folders may be created, read, changed or deleted.

``--scripts FOLDER`` attacks another checkout, such as one of version 0.1.
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
from bootstrap.daemon import ensure_daemon
from bootstrap.image import fallback_image

ROUNDS = 200
NEEDED = ("gcc", "libc6-dev", "logrotate", "openssl", "strace")
"""What traces, rotates and compiles."""
TOLD = 3
"""Attacks that are told of each effect."""


def main() -> None:
    """Attack every script; fail where there was an effect."""
    parser = argparse.ArgumentParser(description="Attack the scripts of host/.")
    parser.add_argument("--scripts", type=Path, default=ROOT, help="a checkout with host/")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each script and attacker")
    parser.add_argument("--only", action="append", default=[], help="a script by its name here")
    parser.add_argument("--stop-after", type=int, default=0, help="rounds with an effect; 0: never")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of a script")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--suite", default="trixie", help="trixie: Mosquitto 2.0; forky: 2.1")
    given = parser.parse_args()
    packages.install(NEEDED, what="attacks on the scripts")
    daemon = ensure_daemon()
    results: list[Result] = []
    studies: list[Studied] = []
    began = time.monotonic()
    image = fallback_image(given.suite, daemon).name
    with stack(given.scripts.resolve(), daemon, image) as made, racer() as attacker:
        made.limit = given.limit
        for script in scripts(made):
            if given.only and script.name not in given.only:
                continue
            studied = study(made, script)
            made.heal()
            studies.append(studied)
            for uid, names in studied.names.items():
                if names:
                    result = _race(made, studied, uid, attacker, given)
                    results.append(result)
                    _progress(result, time.monotonic() - began)
        base = str(made.base)
    print("\n".join(report(studies, results, base)))
    sys.exit(1 if any(raced.effects or raced.unclear for raced in results) else 0)


def _race(
    made: Stack, studied: Studied, uid: int, attacker: Racer, given: argparse.Namespace
) -> Result:
    """Race in steps, so that a run against a version with faults may end early."""
    names = studied.names[uid]
    attacks = plan(names, given.rounds, given.seed)
    whole = Result(script=studied.script.name, whose=WHOSE[uid], names=names)
    step = 1 if given.stop_after else len(attacks)
    for first in range(0, len(attacks), step):
        some = attacks[first : first + step]
        part = race(made, studied.script, names=names, uid=uid, attacker=attacker, attacks=some)
        whole.merge(part)
        won = {attack for found in whole.effects.values() for attack in found}
        if given.stop_after and len(won) >= given.stop_after:
            break
    return whole


def _progress(result: Result, seconds: float) -> None:
    found = f"{len(result.effects)} effects, {len(result.unclear)} unclear ends"
    print(
        f"{seconds:6.0f} s {result.script}: {result.rounds} rounds by {result.whose}: {found}",
        file=sys.stderr,
        flush=True,
    )


def report(studies: Iterable[Studied], results: list[Result], base: str) -> Iterator[str]:
    """Yield the lines of a page: the table, then each effect with the names that had it."""
    yield "| script | against the rule | attacker | names raced | rounds | ended | effects |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for studied in studies:
        own = [raced for raced in results if raced.script == studied.script.name]
        if not own:
            yield f"| {studied.script.name} | {len(studied.violations)} | none | 0 | | | |"
        for raced in own:
            wrong = raced.rounds - raced.succeeded - len(raced.unclear)
            yield (
                f"| {raced.script} | {len(studied.violations)} | {raced.whose} | "
                f"{len(raced.names)} | {raced.rounds} | "
                f"{raced.succeeded} well, {wrong} with an error | {len(raced.effects)} |"
            )
    yield ""
    for raced in results:
        for effect, attacks in sorted(raced.effects.items()):
            told = [text.replace(base, "") for text in attacks]
            yield f"- {raced.script}: {effect}: {_few(told)}"
        for text in raced.unclear:
            yield f"- {raced.script}: no clear end: {text.replace(base, '')}"
    against = sum(len(study.violations) for study in studies)
    yield ""
    yield (
        f"{sum(raced.rounds for raced in results):,} rounds, "
        f"{sum(raced.planted for raced in results):,} names taken, "
        f"{sum(raced.refused for raced in results):,} hard links refused by the kernel: "
        f"{sum(len(raced.effects) for raced in results)} effects, "
        f"{sum(len(raced.unclear) for raced in results)} unclear ends; "
        f"{against} paths that root touched against the rule."
    )


def _few(texts: list[str]) -> str:
    """Return the attacks that had an effect, those at one name first, and how many more did."""
    counted = sorted(Counter(texts).items(), key=lambda pair: (" all " in pair[0], -pair[1]))
    told = "; ".join(text if times == 1 else f"{text} ({times})" for text, times in counted[:TOLD])
    return told + (f"; and {len(counted) - TOLD} more" if len(counted) > TOLD else "")


if __name__ == "__main__":
    main()
