"""Commands about access: by the rules of the stack file, and by the running broker."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import JsonOption, StackOption, UserArgument, command

PANEL = "Access"

TopicArgument = Annotated[
    str,
    typer.Argument(help="A topic, or a filter with + and #.", metavar="TOPIC", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(
        app,
        PANEL,
        "who-can",
        example="./brokerctl who-can write paragon/clockwork/commands/door\n"
        "./brokerctl who-can read '$SYS/#'",
        query=True,
    )(who_can)
    command(
        app,
        PANEL,
        "explain",
        example="./brokerctl explain paragon_devices paragon/clockwork/commands/door",
        query=True,
    )(explain)
    command(
        app, PANEL, "diff", example="./brokerctl diff --base main --fail-on widened", query=True
    )(diff)
    command(app, PANEL, "map", example="./brokerctl map --stack prod --out access/prod")(map_)
    command(app, PANEL, "expect", example="./brokerctl expect --stack prod", query=True)(expect)


def who_can(
    action: Annotated[
        Literal["read", "write"], typer.Argument(metavar="read|write", show_default=False)
    ],
    topic: TopicArgument,
    stack: StackOption = "dev",
    *,
    json: JsonOption = False,
) -> None:
    """Show every user who may write, or read, a topic, and the rule that grants it."""
    from broker.access.explain import who_can as allowed
    from broker.access.topic_filters import check_filter
    from cli.errors import NotPerformedError
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_table

    try:
        check_filter(topic)
    except ValueError as error:
        raise NotPerformedError(f"topic {topic!r}: {error}") from None
    found = allowed(Stack.read(stack).settings, action, topic)
    if json:
        print_json(found)
        return
    if not found:
        print(f"Nobody may {action} {topic}.")
    elif on_terminal():
        print_table(("user", "by the rule"), found.items())
    else:
        width = max(map(len, found))
        for name, rule in found.items():
            print(f"{name:<{width}}  {rule}")


def explain(
    user: UserArgument,
    topic: TopicArgument,
    stack: StackOption = "dev",
    *,
    json: JsonOption = False,
) -> None:
    """Show which rule grants or denies a topic to a user."""
    from difflib import get_close_matches

    from broker.access.effective_rules import effective_rules
    from broker.access.explain import explain as explanation
    from broker.access.topic_filters import check_filter
    from cli.errors import NotPerformedError
    from cli.stack import Stack
    from cli.terminal import print_json, print_lines

    settings = Stack.read(stack).settings
    names = list(effective_rules(settings))
    if user not in names:
        guess = get_close_matches(user, names, n=1)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        raise NotPerformedError(f"user {user}: no such user.{hint}")
    # A client may publish to topics that no rule can name, such as one that ends with a space.
    if not topic or set("+#") & set(topic):
        try:
            check_filter(topic)
        except ValueError as error:
            raise NotPerformedError(f"topic {topic!r}: {error}") from None
    lines = explanation(settings, user, topic)
    if json:
        print_json({"user": user, "topic": topic, "said": lines})
    else:
        print_lines(lines)


def diff(
    *,
    base: Annotated[
        str, typer.Option("--base", metavar="REVISION", help="The revision to compare with.")
    ] = "main",
    head: Annotated[
        str,
        typer.Option(
            "--head",
            metavar="REVISION",
            help="The revision that is compared; by default the files as they are.",
            show_default=False,
        ),
    ] = "",
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="KIND,...",
            help="Exit with 1 for any of these changes: added, removed, widened, narrowed, "
            "equivalent, rotated, replaced, errors.",
            show_default=False,
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Show who gains or loses access by a change of the stack files. Needs no engine or secret."""
    from broker.access.diff_report import as_data, as_markdown
    from cli.access.stack_diff import compare_all, kinds_found, parse_fail_on
    from cli.errors import FindingError
    from cli.terminal import print_json, print_markdown

    kinds = parse_fail_on(fail_on)
    diffs = compare_all(base, head)
    if json:
        print_json([as_data(stack_diff) for stack_diff in diffs])
    else:
        print_markdown(as_markdown(diffs))
    if found := kinds_found(diffs, kinds):
        raise FindingError(f"--fail-on: {', '.join(found)}.")


def map_(
    stack: StackOption = "dev",
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where the files are written.")
    ] = Path("access"),
    json: JsonOption = False,
) -> None:
    """Write a matrix of who may do what and a diagram of who talks to whom, in four files."""
    from broker.access.diagram import render_mermaid, render_svg
    from broker.access.graph import access_graph
    from broker.access.matrix import render_matrix, render_matrix_page
    from cli.stack import Stack
    from cli.terminal import print_json, print_lines

    graph = access_graph(Stack.read(stack).settings)
    title = f"Who may do what on the broker of {stack}"
    files = {
        "matrix.md": render_matrix(graph),
        "matrix.html": render_matrix_page(graph, title),
        "map.mmd": render_mermaid(graph),
        "map.svg": render_svg(graph, title),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    written = [str(out / name) for name in files]
    if json:
        print_json(written)
    else:
        print_lines(written)


def expect(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Put the stack file's expectations to the running broker."""
    from cli.access.expectations import MARKS, as_data, ask_all, render, require_held
    from cli.deployment_state import require_up
    from cli.pulumi import Pulumi
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table, waiting

    declared = Stack.read(stack)
    require_up(declared)
    outputs = Pulumi.ready(declared).outputs()
    with waiting("asking the broker"):
        answers = ask_all(declared.settings, outputs)
    if json:
        print_json(as_data(answers))
    elif on_terminal():
        print_table(("", "expected"), [(MARKS[answer.held], answer.text) for answer in answers])
        print_lines(render(answers)[-1:])
    else:
        print_lines(render(answers))
    require_held(answers)
