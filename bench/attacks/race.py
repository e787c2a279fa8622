"""Run a script of root while a process of another user attacks the names that it uses."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from bench.attacks.inotify import watched
from bench.attacks.judge import (
    MARK,
    effects,
    leaks,
    look,
    make_canaries,
    prepare,
    scan_argv,
    times_of_reading,
)
from bench.attacks.rule import Violation, raced, violations
from bench.attacks.script import Script
from bench.attacks.stack import HERE, LIMIT, WHOSE, Ended, Stack
from bench.attacks.trace import names as common_names

TRICKS = ("file", "folder", "dangling", "hard", "fifo", "directory", "exchange")
WHEN = ("once", "appear", "keep")


@dataclass(frozen=True, kw_only=True)
class Round:
    """One run of a script with one attack."""

    names: tuple[str, ...]
    trick: str
    when: str

    def __str__(self) -> str:
        where = self.names[0] if len(self.names) == 1 else f"all {len(self.names)} names"
        return f"{self.trick} {self.when} at {where}"


@dataclass(kw_only=True)
class Result:
    """The results of all rounds of one script with one attacker."""

    script: str
    whose: str
    names: list[str]
    rounds: int = 0
    planted: int = 0
    refused: int = 0
    """Hard links that the kernel refused (``fs.protected_hardlinks``)."""
    succeeded: int = 0
    unclear: list[str] = field(default_factory=list)
    """Rounds that failed without an error message, or did not end in time."""
    effects: dict[str, list[str]] = field(default_factory=dict)
    """The rounds, by effect."""
    longest: float = 0.0

    def add(self, ended: Ended, attack: Round, observed: Iterable[str]) -> None:
        self.rounds += 1
        self.succeeded += ended.code == 0
        self.longest = max(self.longest, ended.seconds)
        if not ended.clear:
            self.unclear.append(f"{attack}: exit {ended.code} after {ended.seconds:.0f} s")
        for effect in observed:
            self.effects.setdefault(effect, []).append(str(attack))

    def merge(self, other: Result) -> None:
        """Add the rounds of *other*."""
        self.rounds += other.rounds
        self.planted += other.planted
        self.refused += other.refused
        self.succeeded += other.succeeded
        self.unclear += other.unclear
        self.longest = max(self.longest, other.longest)
        for effect, attacks in other.effects.items():
            self.effects.setdefault(effect, []).extend(attacks)


def plan(names: Sequence[str], rounds: int, seed: int) -> list[Round]:
    """
    Return the rounds: every trick at every time, at one name or, in every other round, at all.

    The first rounds keep a link to a folder or a file at an outermost name, beginning with the name
    that has most names below it. In the following rounds, *seed* determines the order of the names.
    """
    order = random.Random(seed)  # noqa: S311 (a run must be repeatable)
    outermost = [name for name in names if name.rpartition("/")[0] not in names]
    outermost.sort(key=lambda name: -sum(other.startswith(f"{name}/") for other in names))
    first = [(name, trick, "keep") for name, trick in product(outermost, ("folder", "file"))]
    alone = [attack for attack in product(names, TRICKS, WHEN) if attack not in first]
    order.shuffle(alone)
    together = list(product(TRICKS, WHEN)) if len(names) > 1 else []
    planned = [Round(names=(name,), trick=trick, when=when) for name, trick, when in first]
    for number in range(rounds - len(planned)):
        if number % 2 and together:
            trick, when = together[number // 2 % len(together)]
            planned.append(Round(names=tuple(names), trick=trick, when=when))
        else:
            index = number // 2 if together else number
            name, trick, when = alone[index % len(alone)]
            planned.append(Round(names=(name,), trick=trick, when=when))
    return planned[:rounds]


@dataclass(frozen=True, kw_only=True)
class Studied:
    """The paths that an undisturbed script uses."""

    script: Script
    violations: list[Violation]
    names: dict[int, list[str]]
    """The names that a user can take, by uid."""


def study(stack: Stack, script: Script, *, runs: int = 2) -> Studied:
    """
    Run *script* undisturbed under strace(1) and inotify(7).

    Raises:
        RuntimeError: the script failed.

    """
    used: list[set[str]] = []
    against: dict[Violation, None] = {}
    hostile: dict[str, int] = {}
    for _ in range(runs):
        script.prepare(stack)
        hostile = stack.hostile
        whose = {folder: WHOSE[uid] for folder, uid in hostile.items()}
        with watched(map(Path, hostile)) as used_names:
            ended, accesses = stack.traced(script.command(stack))
        if ended.code:
            raise RuntimeError(f"{script.name}: undisturbed: exit {ended.code}: {ended.stderr}")
        script.done(stack)
        # `logrotate --debug` also reads the configuration of other programs.
        accesses = [
            access
            for access in accesses
            if access.program != "logrotate" or access.path.startswith(str(stack.base))
        ]
        touched = {access.path for access in accesses}
        # Ignore what the broker does meanwhile in folders that the script does not touch.
        script_folders = tuple(
            f"{folder}/"
            for folder in hostile
            if any(f"{path}/".startswith(f"{folder}/") for path in touched)
        )
        used.append(touched | {path for path in used_names if path.startswith(script_folders)})
        against |= dict.fromkeys(violations(accesses, whose))
    names = common_names(used[0], used[-1])
    whose = {folder: WHOSE[owner] for folder, owner in hostile.items()}
    return Studied(
        script=script,
        violations=list(against),
        names={uid: raced(names, whose, WHOSE[uid]) for uid in sorted(set(hostile.values()))},
    )


class Racer:
    """The compiled attacker."""

    def __init__(self, folder: Path) -> None:
        self.binary = folder / "racer"
        subprocess.run(
            ["cc", "-O2", "-o", str(self.binary), str(HERE / "racer.c")],
            check=True,
            capture_output=True,
        )

    @contextmanager
    def at(self, attack: Round, uid: int, canaries: Path, result: Result) -> Iterator[None]:
        """Attack until the end of the block."""
        process = subprocess.Popen(
            [
                *(str(self.binary), str(uid), str(uid), attack.trick, attack.when),
                *(str(LIMIT + 60), str(canaries / "file"), str(canaries / "folder")),
                str(canaries / "absent"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"{name}\n" for name in attack.names))
        process.stdin.close()
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.terminate()
            for line in process.stdout.read().splitlines():
                _, planted, refused = line.split("\t")
                result.planted += int(planted)
                result.refused += int(refused)
            process.wait()
            process.stdout.close()


@contextmanager
def racer() -> Iterator[Racer]:
    with tempfile.TemporaryDirectory(prefix="racer-") as folder:
        yield Racer(Path(folder))


def race(
    stack: Stack,
    script: Script,
    *,
    names: Sequence[str],
    uid: int,
    attacker: Racer,
    attacks: Iterable[Round],
) -> Result:
    """Run *script* once per attack of *attacks*, made by a process of *uid*; return the result."""
    result = Result(script=script.name, whose=WHOSE[uid], names=list(names))
    canaries = stack.base / "outside"
    secrets = _secrets(stack)
    for attack in attacks:
        script.prepare(stack)
        if not canaries.exists():
            make_canaries(canaries, (name.rpartition("/")[2] for name in names))
        readable_before = {index for index, _ in _readable(stack, uid, secrets)}
        before = prepare(canaries)
        with attacker.at(attack, uid, canaries, result):
            ended = stack.run(script.command(stack))
        read = times_of_reading(before)
        changes = effects(before, read, look(canaries))
        leaked = [
            f"{secrets[index][0]} readable"
            for index, _ in _readable(stack, uid, secrets)
            if index not in readable_before
        ]
        observed = [effect.replace(f"{canaries}/", "") for effect in [*changes, *leaked]]
        result.add(ended, attack, observed)
        if ended.code == 0:
            script.done(stack)
        if changes:
            subprocess.run(["rm", "-rf", "--", str(canaries)], check=True)
        stack.heal()
    subprocess.run(["rm", "-rf", "--", str(canaries)], check=True)
    return result


def _secrets(stack: Stack) -> list[tuple[str, str]]:
    """Return the secrets, with a description."""
    key = Path(stack.rendered["kept"]) / "certificates" / "ca" / "ca.key"
    passwords = stack.base / "config" / stack.rendered["files"]["passwords"]
    lines = passwords.read_text("utf-8").splitlines()
    return [
        ("a canary", MARK),
        ("the CA's key", key.read_text("utf-8").splitlines()[1]),
        *((f"the password of {user}", text) for user, text in stack.passwords.items()),
        *((f"the hash of {line.partition(':')[0]}", line.partition(":")[2]) for line in lines),
        ("an archive", "\0"),  # index -1, found by its name
    ]


def _readable(stack: Stack, uid: int, secrets: Sequence[tuple[str, str]]) -> set[tuple[int, str]]:
    """Return the index and the path of secrets that the attacker can read, without canaries."""
    roots = [path for path in sorted(stack.base.iterdir()) if path.name != "outside"]
    done = subprocess.run(
        scan_argv(uid, uid, [*roots, Path(stack.rendered["kept"])]),
        input="".join(f"{text}\n" for _, text in secrets[:-1]),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return leaks(done.stdout)
