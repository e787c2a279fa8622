"""`make down`: the broker is gone; what it wrote, its data and logs, is there until asked away."""

from broker.host.layout import erase_calls
from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.run_on_host import run_scripts
from cli.stack import Refusal, Stack, arguments

PASSWORDS = ("**random:index/**", "**sentient-mqtt:index:Rotations**")
"""URNs of what was drawn, and of when."""

SECONDS = 600


def main() -> None:
    """Run `pulumi destroy`, and delete the data folders where that was said."""
    parser = arguments("Take the broker away.")
    parser.add_argument("--delete-data", action="store_true")
    parser.add_argument("--keep-passwords", action="store_true")
    parser.add_argument("--yes", action="store_true", help="do not ask, also for other stacks")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    pulumi = Pulumi.ready(stack)
    pulumi.select()
    sure = given.yes or pulumi.backend.ours
    # Asked now: afterwards the stack has no outputs.
    outputs = pulumi.outputs()
    words = ["--yes", "--skip-preview"] if sure else []
    if given.keep_passwords:
        # What is gone without Pulumi's knowledge, such as a whole host, is no reason to fail.
        words += ["--refresh", *(word for each in PASSWORDS for word in ("--exclude", each))]
    pulumi.run("destroy", "--stack", stack.name, *words)
    if given.keep_passwords:
        print(f"Every password stays: make up STACK={stack.name} brings the broker back with them.")
    folders = stack.settings.broker.folders
    if given.delete_data:
        kept = _erase(stack, outputs.get("image", stack.settings.broker.image))
        print(f"Deleted: what the broker wrote in {folders.data} and {folders.log}.")
        print(kept, end="")
    else:
        print(f"Kept: {folders.data} and {folders.log}. DATA=delete deletes them.")


def _erase(stack: Stack, image: str) -> str:
    """Delete the broker's files and return a line for each folder that is still needed."""
    broker = stack.settings.broker
    calls = erase_calls(broker, stack.transport.socket, image)
    try:
        done = run_scripts(
            stack,
            ("commands/delete_files.sh",),
            calls,
            action="apply",
            become=broker.become,
            image=image,
            seconds=SECONDS,
        )
    except Refusal as wrong:
        raise Refusal(f"DATA=delete: {wrong}") from None
    if done.returncode:
        raise Refusal(f"DATA=delete: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    finish(main)
