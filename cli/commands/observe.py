"""Commands that verify the deployment and read the broker's log."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import JsonOption, StackOption, command

PANEL = "Observe"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(app, PANEL, "check", example="./brokerctl check --stack prod --json", query=True)(check)
    command(app, PANEL, "drift", example="./brokerctl drift --stack prod", query=True)(drift)
    command(app, PANEL, "inventory", example="./brokerctl inventory", query=True)(inventory)
    command(app, PANEL, "refused", example="./brokerctl refused --since 7d", query=True)(refused)
    command(app, PANEL, "firewall", example="./brokerctl firewall --stack prod", query=True)(
        firewall
    )


def check(
    stack: StackOption = "dev",
    *,
    json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the results to a Markdown page as well."),
    ] = None,
) -> None:
    """
    Run the deployment checklist, and show a fix for each check that fails.

    Logs in as every user, without a login and with a wrong password, and reads facts from the host.
    Changes nothing.
    """
    from broker.checks.check_result import render_page, render_text
    from broker.checks.checklist import checklist
    from cli.deployment_state import require_up
    from cli.observe.check import observe, require_passed
    from cli.pulumi import Pulumi
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_table, waiting

    declared = Stack.read(stack)
    require_up(declared)
    outputs = Pulumi.ready(declared).outputs()
    with waiting("checking the broker and its host"):
        results = checklist(declared.settings, stack, observe(declared, outputs))
    if out is not None:
        out.write_text(render_page(results), encoding="utf-8")
    if json:
        print_json([result.as_data() for result in results])
    elif on_terminal():
        marks = {"pass": "pass", "fail": "FAIL", "unknown": "unknown"}
        print_table(
            ("", "check", "observed", "fix"),
            [
                (
                    marks[result.status],
                    result.description,
                    result.observed,
                    result.as_data()["mend"],
                )
                for result in results
            ],
        )
    else:
        print(render_text(results), end="")
    require_passed(results)


def drift(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """
    Show what differs on the host from what the last `up` applied; for a schedule, such as cron.

    Asks the host and does not start Pulumi. An `up` repairs what this command shows.
    """
    from broker.drift import drift as compare
    from broker.host.requirements import host_requirements
    from cli.deployment_state import require_up
    from cli.errors import FindingError
    from cli.observe.check import probe_host
    from cli.stack import Stack
    from cli.terminal import print_json, print_lines, waiting

    declared = Stack.read(stack)
    require_up(declared)
    required = host_requirements(declared.settings, stack)
    with waiting("comparing the host with the last up"):
        found = compare(declared.settings.broker, required, probe_host(declared))
    if json:
        print_json({"stack": stack, "differences": found})
    else:
        print_lines(found or [f"Nothing differs on {declared.transport.host}."])
    if found:
        raise FindingError(
            f"{len(found)} differences. ./brokerctl up --stack {stack} applies the declared state"
        )


def inventory(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Compare the declared users with the logins in the broker's log."""
    from broker.logs.inventory import inventory as compare
    from broker.logs.inventory import render_inventory
    from cli.deployment_state import require_up
    from cli.observe.broker_log import gateways, network_created, read_log
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table, waiting

    declared = Stack.read(stack)
    require_up(declared)
    with waiting("reading the log"):
        found = compare(
            declared.settings,
            read_log(declared),
            gateways(declared),
            network_since=network_created(declared),
        )
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

    Exits with 1 if an hour had more than the stack file allows.
    """
    from datetime import UTC, datetime

    from broker.logs.authentication_failures import as_data, render_failures, too_many
    from cli.deployment_state import require_up
    from cli.errors import FindingError
    from cli.observe.broker_log import read_log
    from cli.observe.time_span import parse_time_span
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table, waiting

    begin = datetime.now(UTC) - parse_time_span(since)
    declared = Stack.read(stack)
    require_up(declared)
    with waiting("reading the log"):
        log = read_log(declared, since=begin)
    lines = render_failures(declared.settings, log)
    if json:
        print_json(as_data(declared.settings, log))
    elif on_terminal():
        data = as_data(declared.settings, log)
        columns = ("times", "user", "address", "last")
        for key in ("refused", "denied"):
            rows = [[row[column] for column in columns] for row in data[key]]
            print_table(columns, rows, title=f"{key} since {data['since']}: {len(rows)} rows")
        print_lines(line for line in lines if "not logged" in line)
    else:
        print_lines(lines)
    if problem := too_many(declared.settings, log):
        raise FindingError(
            f"{problem}. For clients with an old password: ./brokerctl inventory --stack {stack} "
            f"shows silent users. For strangers: ./brokerctl firewall --stack {stack} shows which "
            "networks may connect"
        )


def firewall(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Show which networks may reach which port, and whether the firewall rules are in force."""
    from broker.firewall.backend import is_declared
    from broker.firewall.drift import report
    from broker.host.facts import HostFacts
    from broker.host.requirements import firewall_probe_calls, host_requirements
    from broker.host.scripts import HostScript
    from cli.deployment_state import require_up
    from cli.errors import FindingError
    from cli.run_on_host import probe, read_script
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_pairs

    declared = Stack.read(stack)
    require_up(declared)
    facts = HostFacts(facts={})
    if is_declared(declared.settings.broker):
        requirements = host_requirements(declared.settings, stack)
        calls = firewall_probe_calls(requirements, declared.transport, read_script)
        facts = probe(declared, (HostScript.PROBE,), calls)
    lines, problem = report(declared.settings.broker, facts)
    if json:
        print_json({"lines": lines, "problem": problem})
    elif on_terminal():
        print_pairs(lines)
    else:
        print_lines(lines)
    if problem:
        raise FindingError(problem)
