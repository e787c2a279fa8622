"""How to log in, as a service wants to read it: URLs, and the text of an env file."""

from collections.abc import Mapping
from string import punctuation
from urllib.parse import quote

from broker.host.layout import HostFile
from broker.settings.broker_settings import Broker
from broker.settings.file_settings import EnvFile
from broker.settings.listener_settings import Listener
from broker.tls.certificates import ca_file

READERS: Mapping[str, str] = {
    "docker": "docker run --env-file",
    "sh": "sh",
    "compose": "Docker Compose",
    "systemd": "systemd",
    "python-dotenv": "python-dotenv",
}
"""
What reads an env file, and how a sentence calls it. Docker takes whatever follows ``=``, quotes
included: so no value is quoted, and the others must take it as it stands.
"""

_QUOTES_AND_BLANKS = ("sh", "compose", "systemd", "python-dotenv")
# As measured by tests/broker/credentials/test_env_file_readers.py, for each line.
# The reasons are in docs/explanation/decisions/0019.
MISREAD: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(" \"'", _QUOTES_AND_BLANKS),
    "$": ("sh", "compose", "python-dotenv"),
    "\\": ("sh", "systemd"),
    **dict.fromkeys("&();<>`|~", ("sh",)),
}
"""The characters that some readers take for syntax, and which readers do."""

READ_ALIKE = "".join(mark for mark in punctuation if mark not in MISREAD)
"""The ASCII punctuation that every reader takes as it stands, wherever it stands in a value."""

ONLY_THESE = f"letters, digits and {READ_ALIKE}"
"""What a password may hold that is written to an env file."""


def misreaders(value: str) -> tuple[str, ...]:
    """Return the readers that don't read *value* as Docker does; none where all read it alike."""
    if not value.isprintable():
        # A line break ends the value, and the readers differ about the rest: none is relied on.
        return tuple(READERS)
    found = {reader for character in value for reader in MISREAD.get(character, ())}
    return tuple(reader for reader in READERS if reader in found)


def why_misread(readers: tuple[str, ...]) -> str:
    """Return why an env file can't hold a password: who misreads it, and nothing of what it is."""
    *others, last = [READERS[reader] for reader in readers]
    named = f"{', '.join(others)} and {last}" if others else last
    return f"holds characters that {named} would not read as they stand in an env file"


def endpoint(broker: Broker, listener: Listener) -> str:
    """Return the URL that clients dial, such as ``mqtt://192.168.2.3:1883``."""
    return f"{listener.scheme}://{_dialled(broker)}:{listener.port}"


def endpoints(broker: Broker) -> dict[str, str]:
    """Return the URL of each listener, by name."""
    return {name: endpoint(broker, each) for name, each in broker.listeners.items()}


def login_url(broker: Broker, listener: Listener, user: str, password: str) -> str:
    """Return the URL with user and password in it (RFC 3986, 3.2.1)."""
    scheme, _, rest = endpoint(broker, listener).partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def login(broker: Broker, listener: Listener, user: str, password: str) -> dict[str, str]:
    """Return ``username``, ``password`` and ``url``: all that a client needs."""
    url = login_url(broker, listener, user, password)
    return {"username": user, "password": password, "url": url}


def render_env(
    broker: Broker, listener: Listener, user: str, password: str, *, ca: str | None = None
) -> str:
    """
    Return the text of an env file that each of ``READERS`` reads alike.

    *ca* is the path of the CA where the file is read.

    Raises:
        ValueError: a value is one that they don't read alike; the value isn't in the message.

    """
    values = {
        "MQTT_URL": endpoint(broker, listener),
        "MQTT_HOST": broker.address,
        "MQTT_PORT": str(listener.port),
        "MQTT_USERNAME": user,
        "MQTT_PASSWORD": password,
        **({"MQTT_CA": ca} if ca else {}),
    }
    for name, value in values.items():
        if readers := misreaders(value):
            raise ValueError(f"{name} {why_misread(readers)}")
    return "".join(f"{name}={value}\n" for name, value in values.items())


def render_header(broker: Broker, listener: Listener, user: str, password: str) -> str:
    """Return a C header for a controller's firmware."""
    values = {
        "MQTT_HOST": _c_string(broker.address),
        "MQTT_PORT": str(listener.port),
        "MQTT_USERNAME": _c_string(user),
        "MQTT_PASSWORD": _c_string(password),
    }
    lines = [f"#define {name} {value}" for name, value in values.items()]
    return "\n".join(
        ["// The login of one controller. Not for a repository.", "#pragma once", *lines, ""]
    )


def env_file_mark(stack: str) -> str:
    """Return the first line of the env files that a stack writes on its host."""
    return (
        f"# Written by Pulumi, stack {stack}. The next `pulumi up` overwrites what is edited here."
    )


def host_env_file(broker: Broker, stack: str, file: EnvFile, login: str, password: str) -> HostFile:
    """Return one of the files of ``broker.envFiles``, with its user's active login."""
    listener = _env_listener(broker, file)
    # A given certificate's CA is somebody else's, and mostly in the system's list.
    ca = ca_file(broker) if listener.tls is not None and not listener.tls.given else None
    text = render_env(broker, listener, login, password, ca=ca)
    return HostFile(path=file.path, owner=file.owner, text=f"{env_file_mark(stack)}\n{text}")


def _env_listener(broker: Broker, file: EnvFile) -> Listener:
    return broker.listeners[file.listener] if file.listener else broker.dialled_listener()


def _c_string(text: str) -> str:
    """Quote *text*: names and passwords hold neither control characters nor other alphabets."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _dialled(broker: Broker) -> str:
    return f"[{broker.address}]" if ":" in broker.address else broker.address
