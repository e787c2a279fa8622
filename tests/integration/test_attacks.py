"""
No script that runs as root follows what another user of the host puts in its way.

The broker's user, an application's and node_exporter's own folders that root must not work in. Each
script runs undisturbed below strace(1), which tells what root touches; then a process of that user
takes the names that are left to it. `python -m bench.attack` does the latter for 200 rounds each.
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
"""Scripts that start brokers several times: raced by `python -m bench.attack` alone."""


@pytest.fixture(scope="module")
def stack(daemon, stand_in):
    with broker_under_attack(ROOT, daemon, stand_in("trixie")) as made:
        yield made


@pytest.fixture(scope="module")
def attacker():
    with racer() as compiled:
        yield compiled


@pytest.fixture(scope="module")
def studied(stack):
    """``studied(name)``: what that script does undisturbed, found once."""
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
def test_root_works_in_folders_of_its_own_alone(studied, stack, name):
    found = studied(name).violations
    assert not found, "\n".join(str(each).replace(str(stack.base), "") for each in found)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_no_other_user_moves_root_to_anything_outside(studied, stack, attacker, name):
    for uid, names in studied(name).names.items():
        if names:
            attacks = plan(names, ROUNDS, seed=12)
            script = studied(name).script
            result = race(stack, script, names=names, uid=uid, attacker=attacker, attacks=attacks)
            assert result.rounds == len(attacks)
            assert result.effects == {}
            assert result.unclear == []


def test_the_folders_of_another_user_are_those_that_the_stack_gives_away(stack):
    owners = {Path(folder).name: WHOSE[uid] for folder, uid in stack.hostile.items()}
    assert {"data", "log", "app", "textfile"} <= set(owners)
    assert "backups" not in owners


def wrong(stack, line):
    """A script of root's that works in the broker's folder."""
    text = f"cd {stack.base}/data; {line}"
    return Script(name="wrong", command=lambda _: {"argv": ["sh", "-euc", text], "stdin": ""})


# What version 0.1 did, in one line each.
FAULTS = {
    "rm -rf .stage; sleep 0.1; mkdir -p .stage/data; echo x >.stage/data/x": (
        "folder", "created folder/data/x",
    ),
    "echo x >x.new; sleep 0.1; chown 1883:1883 x.new": ("file", "owner 0:0 to 1883:1883 file"),
    "cat x.read || :": ("file", "read file"),
}  # fmt: skip


@pytest.mark.parametrize("line", FAULTS)
def test_a_script_with_a_fault_is_found_by_its_trace_and_by_the_race(stack, attacker, line):
    trick, effect = FAULTS[line]
    script = wrong(stack, line)
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


def test_a_script_that_neither_ends_well_nor_says_why_is_found(stack, attacker):
    script = Script(name="mute", command=lambda _: {"argv": ["sh", "-c", "exit 7"], "stdin": ""})
    attack = Round(names=(f"{stack.base}/data/x",), trick="fifo", when="once")
    result = race(
        stack, script, names=attack.names, uid=BROKER, attacker=attacker, attacks=[attack]
    )
    assert result.unclear == [f"{attack}: exit 7 after 0 s"]
    assert result.effects == {}
