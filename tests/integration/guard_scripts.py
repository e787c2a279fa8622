"""Run the scripts before and after a start, and count what the broker holds."""

from pathlib import Path

from broker.host.layout import database_call, guard_call, ready_call
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import PrepareReplacement
from broker.mosquitto.reload_or_replace import start_digest

MESSAGES = 50


SOCKET = "unix:///var/run/docker.sock"


def start_with_messages(start):
    """Start a broker and publish messages, which it has not saved yet."""
    running = start()
    with running.client("admin") as admin:
        for number in range(MESSAGES):
            admin.publish(f"paragon/room/status/{number}", f"of {number}", retain=True)
    return running


def guard(running, *, image=None, one_way=False, digest=None):
    broker = running.broker
    if one_way:
        persistence = broker.persistence.model_copy(update={"one_way": True})
        broker = broker.model_copy(update={"persistence": persistence})
    return running.script(
        "lib/database.sh commands/prepare_replacement.sh",
        "apply",
        [
            database_call(broker, SOCKET, image or running.image),
            guard_call(broker, digest or start_digest(broker)),
        ],
    )


def take_over(running, stack="prod", config_folder=None):
    """Run what runs before Pulumi creates a container of a name that it does not know."""
    broker = running.broker
    folder = config_folder or broker.folders.config
    return running.script(
        "lib/database.sh commands/prepare_replacement.sh",
        "apply",
        [
            database_call(broker, SOCKET, running.image),
            guard_call(broker, start_digest(broker)),
            PrepareReplacement.take_over(stack=stack, config_folder=folder, seconds=30),
        ],
    )


def ready(running, *, seconds=None):
    call = ready_call(running.broker)
    words = (*call.words[:3], seconds or call.words[3], *call.words[4:])
    return running.script(
        "lib/database.sh commands/await_ready.sh",
        "apply",
        [database_call(running.broker, SOCKET, running.image), ScriptCall(words=words)],
    )


def restart(running):
    return running.script(
        "lib/database.sh commands/restart.sh commands/await_ready.sh",
        "apply",
        [
            database_call(running.broker, SOCKET, running.image),
            ready_call(running.broker),
            ScriptCall(words=("restart", "30")),
        ],
    )


def data(running):
    return Path(running.broker.folders.data)


def retained(running):
    with running.client("admin") as admin:
        admin.subscribe("paragon/#")
        with running.client("admin") as other:
            other.publish("paragon/room/events/last", "last")
        admin.got("paragon/room/events/last", "last")
        return sum(message.topic.startswith("paragon/room/status/") for message in admin.received)


def has_no_leftovers(running, *names):
    return {path.name for path in data(running).iterdir()} <= {"mosquitto.db", *names}


def keep_only_a_session(running):
    """Leave no retained message, and a disconnected client with queued messages."""
    with running.client("sentient_monitor_prod", session="away") as away:
        away.subscribe("paragon/+/events/#")
    with running.client("admin") as admin:
        for number in range(MESSAGES):
            admin.publish(f"paragon/room/status/{number}", "", retain=True)
        for number in range(3):
            admin.publish("paragon/room/events/x", f"{number} queued")
