"""What the broker, its host and its log say."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import JsonOption, StackOption, command

PANEL = "Observe"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(app, PANEL, "check", example="./brokerctl check --stack prod --json", asks=True)(check)
    command(app, PANEL, "inventory", example="./brokerctl inventory", asks=True)(inventory)
    command(app, PANEL, "refused", example="./brokerctl refused --since 7d", asks=True)(refused)
    command(app, PANEL, "firewall", example="./brokerctl firewall --stack prod", asks=True)(
        firewall
    )


def check(
    stack: StackOption = "dev",
    *,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the points as Markdown, too."),
    ] = None,
) -> None:
    """
    Go through the checklist of a deployment, and say what mends each point that fails.

    It logs in as every user, as nobody and with a wrong password, and looks at the host. Nothing is
    changed.
    """
    from broker.checks.check_result import render_page, render_text
    from broker.checks.checklist import checklist
    from cli.check import judge, sight
    from cli.deployed import require_up
    from cli.pulumi import Pulumi
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_table, waiting

    declared = Stack.read(stack)
    require_up(declared)
    outputs = Pulumi.ready(declared).outputs()
    with waiting("looking at the broker and its host"):
        points = checklist(declared.settings, stack, sight(declared, outputs))
    if out is not None:
        out.write_text(render_page(points), encoding="utf-8")
    if json:
        print_json([point.as_data() for point in points])
    elif on_terminal():
        marks = {"pass": "pass", "fail": "FAIL", "unknown": "unknown"}
        print_table(
            ("", "check", "observed", "fix"),
            [
                (marks[point.status], point.description, point.observed, point.as_data()["mend"])
                for point in points
            ],
        )
    else:
        print(render_text(points), end="")
    judge(points)


def inventory(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Show who is declared, against who was seen in the broker's log."""
    from broker.logs.inventory import inventory as compare
    from broker.logs.inventory import render_inventory
    from cli.broker_log import gateways, read_log
    from cli.deployed import require_up
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table, waiting

    declared = Stack.read(stack)
    require_up(declared)
    with waiting("reading the log"):
        found = compare(declared.settings, read_log(declared), gateways(declared))
    data = found.as_data()
    if json:
        print_json(data)
    elif on_terminal() and found.begin is not None:
        columns = ("state", "name", "kind", "since", "client", "address")
        rows = [[entry[column] for column in columns] for entry in data["declared"]]
        print_table(columns, rows, title=f"since {data['logBegins']}, when the log begins")
        for title, key in (
            ("logged in, but not or no longer declared", "undeclaredUsers"),
            ("refused, with a client id that no user has used", "unknownClients"),
            ("from outside the declared networks", "outsideNetworks"),
        ):
            if data[key]:
                rows = [list(row.values()) for row in data[key]]
                print_table(tuple(data[key][0]), rows, title=title)
    else:
        print_lines(render_inventory(found))


def refused(
    stack: StackOption = "dev",
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Such as 30m, 24h or 7d.")
    ] = "24h",
    json: JsonOption = False,
) -> None:
    """
    Show refused logins and denied messages by user and address.

    Exits with 1 where an hour had more than the stack file allows.
    """
    from datetime import UTC, datetime

    from broker.logs.authentication_failures import as_data, render_failures, too_many
    from cli.broker_log import read_log
    from cli.deployed import require_up
    from cli.refusals import Finding
    from cli.refused import span
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table, waiting

    begin = datetime.now(UTC) - span(since)
    declared = Stack.read(stack)
    require_up(declared)
    with waiting("reading the log"):
        seen = read_log(declared, since=begin)
    lines = render_failures(declared.settings, seen)
    if json:
        print_json(as_data(declared.settings, seen))
    elif on_terminal():
        data = as_data(declared.settings, seen)
        columns = ("times", "user", "address", "last")
        for key in ("refused", "denied"):
            rows = [[row[column] for column in columns] for row in data[key]]
            print_table(columns, rows, title=f"{key} since {data['since']}: {len(rows)} rows")
        print_lines(line for line in lines if "not logged" in line)
    else:
        print_lines(lines)
    if said := too_many(declared.settings, seen):
        raise Finding(
            f"{said}. A client with an old password? ./brokerctl inventory --stack {stack} tells "
            f"who is silent; a stranger? ./brokerctl firewall --stack {stack} tells who may come"
        )


def firewall(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Show who may reach which port, and whether the rules that say so are in force."""
    from broker.firewall.backend import is_declared
    from broker.firewall.drift import report
    from broker.host.facts import HostFacts
    from broker.host.requirements import firewall_probe_calls, host_requirements
    from broker.host.scripts import HostScript
    from cli.deployed import require_up
    from cli.refusals import Finding
    from cli.run_on_host import probe
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table

    declared = Stack.read(stack)
    require_up(declared)
    seen = HostFacts(facts={})
    if is_declared(declared.settings.broker):
        wanted = host_requirements(declared.settings, stack)
        seen = probe(
            declared,
            (HostScript.PROBE,),
            firewall_probe_calls(wanted, declared.transport),
        )
    lines, problem = report(declared.settings.broker, seen)
    if json:
        print_json({"lines": lines, "problem": problem})
    elif on_terminal():
        pairs = (line.partition(": ") for line in lines)
        print_table(("what", "state"), [(what, said) for what, _, said in pairs])
    else:
        print_lines(lines)
    if problem:
        raise Finding(problem)
