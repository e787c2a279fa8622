"""The command line of `./brokerctl`, as Typer builds it from the functions of `cli/commands/`."""

import typer

from cli.commands import access, backup, lifecycle, messages, observe, setup, users
from cli.exit_codes import finish

HELP = """Run the Mosquitto broker that a stack file declares.

Each command takes --stack; without it, and without SENTIENT_MQTT_STACK, the stack is dev.

With --json, a command prints a JSON document on stdout, and progress and messages on stderr."""
EPILOG = (
    "Exit codes: 0 success; 1 a finding or a failure; 2 the broker could not be asked, or a usage "
    "error."
)

app = typer.Typer(
    name="brokerctl",
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
for group in (lifecycle, users, access, observe, messages, backup, setup):
    group.add_to(app)


def run(words: list[str] | None = None) -> None:
    """Run a command. An expected error is raised; a usage error exits with 2."""
    app(args=words, prog_name="brokerctl")


def main() -> None:
    """Run the command line of this process."""
    finish(run)
