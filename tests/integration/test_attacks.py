"""
No script that runs as root follows a link or fifo that another user of the host creates.

The broker's user, an application and node_exporter own folders in which root must not work. Every
script runs once under strace(1), which reports what root touches; then a process of that user
replaces the names in its folder. `python -m bench.attack` does that for 200 rounds per script.
"""

import shutil
from pathlib import Path

import pytest
from declared import ROOT

from bench.attacks.race import Round, plan, race, racer, study
from bench.attacks.script import NAMES, Script, scripts
from bench.attacks.stack import BROKER, WHOSE
from bench.attacks.stack import stack as broker_under_attack

ROUNDS = 2
SLOW = {"guard", "ready", "restart", "restore"}
"""Scripts that start brokers several times: only `python -m bench.attack` races them."""


@pytest.fixture(scope="module")
def stack(daemon, fallback_image):
    with broker_under_attack(ROOT, daemon, fallback_image("trixie")) as made:
        yield made


@pytest.fixture(scope="module")
def attacker():
    with racer() as compiled:
        yield compiled


@pytest.fixture(scope="module")
def studied(stack):
    """Return ``studied(name)``, which traces that script once, without an attack."""
    known = {}
    by_name = {script.name: script for script in scripts(stack)}
    assert tuple(by_name) == NAMES

    def found(name):
        if name not in known:
            known[name] = study(stack, by_name[name], runs=1)
            stack.heal()
        return known[name]

    return found


@pytest.mark.parametrize("name", NAMES)
def test_root_works_only_in_folders_of_root(studied, stack, name):
    found = studied(name).violations
    assert not found, "\n".join(str(violation).replace(str(stack.base), "") for violation in found)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_no_other_user_makes_root_work_outside(studied, stack, attacker, name):
    for uid, names in studied(name).names.items():
        if names:
            attacks = plan(names, ROUNDS, seed=12)
            script = studied(name).script
            result = race(stack, script, names=names, uid=uid, attacker=attacker, attacks=attacks)
            assert result.rounds == len(attacks)
            assert result.effects == {}
            assert result.unclear == []


def test_folders_of_other_users_are_those_of_the_stack(stack):
    owners = {Path(folder).name: WHOSE[uid] for folder, uid in stack.hostile.items()}
    assert {"data", "log", "app", "textfile"} <= set(owners)
    assert "backups" not in owners


def faulty_script(stack, line):
    """Return a script that works as root in the broker's folder."""
    text = f"cd {stack.base}/data; {line}"
    return Script(name="wrong", command=lambda _: {"argv": ["sh", "-euc", text], "stdin": ""})


# Faults of version 0.1, one line per fault.
FAULTS = {
    "rm -rf .stage; sleep 0.1; mkdir -p .stage/data; echo x >.stage/data/x": (
        "folder", "created folder/data/x",
    ),
    "echo x >x.new; sleep 0.1; chown 1883:1883 x.new": ("file", "owner 0:0 to 1883:1883 file"),
    "cat x.read || :": ("file", "read file"),
}  # fmt: skip


@pytest.mark.parametrize("line", FAULTS)
def test_faulty_script_is_found_by_its_trace_and_by_the_race(stack, attacker, line):
    trick, effect = FAULTS[line]
    script = faulty_script(stack, line)
    found = study(stack, script, runs=1)
    assert found.violations
    stack.heal()
    names = found.names[BROKER]
    attack = Round(names=(names[0],), trick=trick, when="keep")
    result = race(
        stack, script, names=[*names, "/data"], uid=BROKER, attacker=attacker, attacks=[attack]
    )
    assert effect in result.effects, result.effects
    assert not (stack.base / "outside").exists()
    shutil.rmtree(stack.base / "data" / ".stage", ignore_errors=True)


def test_failure_without_a_message_is_found(stack, attacker):
    script = Script(name="mute", command=lambda _: {"argv": ["sh", "-c", "exit 7"], "stdin": ""})
    attack = Round(names=(f"{stack.base}/data/x",), trick="fifo", when="once")
    result = race(
        stack, script, names=attack.names, uid=BROKER, attacker=attacker, attacks=[attack]
    )
    assert result.unclear == [f"{attack}: exit 7 after 0 s"]
    assert result.effects == {}
