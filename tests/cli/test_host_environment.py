"""A program that a command runs for the host gets no secrets from the environment."""

import ast
from contextlib import suppress

import pytest

import cli.run_on_host
from cli.errors import CommandError
from cli.stack import ROOT, Stack

STARTS = {"subprocess.run", "subprocess.Popen"}

CALLS = {
    "ask": lambda _: cli.run_on_host.docker(Stack.read("test"), "inspect"),
    "show": lambda _: cli.run_on_host.show_docker(Stack.read("test"), "logs"),
    "scripts": lambda _: cli.run_on_host.run_scripts(
        Stack.read("test"), (), [], action="look", as_root=False
    ),
    "logs": lambda desk: desk.run("logs"),
    "down": lambda desk: desk.run("down", "--confirm", "test", "--delete-data"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_program_for_the_host_gets_a_clean_environment(desk, monkeypatch, tmp_path, call):
    received = tmp_path / "received"
    for name in ("docker", "sh"):
        (desk.bin / name).write_text(f"#!/bin/sh\nenv >>{received}\n")
        (desk.bin / name).chmod(0o755)
    for name in ("PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "MY_TOKEN"):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")

    # The programs answer nothing, so a look at the host is incomplete.
    with suppress(CommandError):
        CALLS[call](desk)

    assert "SSH_AUTH_SOCK=/agent\n" in received.read_text()
    assert "s3cret" not in received.read_text()


LOCAL = {
    "cli/development/bare_path.py",
    "cli/access/stack_file_at_revision.py",
    "cli/development/test_suite.py",
    "bootstrap/pulumi_engine.py",
}
"""Modules that run dpkg-query, git, pytest and the engine's build on this machine."""


def test_no_program_for_the_host_inherits_the_environment():
    folders = ("components", "bootstrap", "cli")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS:
                known = any(keyword.arg == "env" for keyword in node.keywords)
                found |= set() if known else {str(file.relative_to(ROOT))}
    assert found == LOCAL
