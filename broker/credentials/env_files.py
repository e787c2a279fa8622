"""Logins in the forms that services and controllers read: URLs, env files and C headers."""

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
The programs that read env files, with the names that messages use. Docker takes everything after
``=`` as the value, quotes included. So values are not quoted, and all readers must read them as
Docker does.
"""

_ALL_BUT_DOCKER = ("sh", "compose", "systemd", "python-dotenv")
# Measured by tests/broker/credentials/test_env_file_readers.py; reasons:
# docs/explanation/decisions/0019.
MISREAD: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(" \"'", _ALL_BUT_DOCKER),
    "$": ("sh", "compose", "python-dotenv"),
    "\\": ("sh", "systemd"),
    **dict.fromkeys("&();<>`|~", ("sh",)),
}
"""The characters that some readers treat as syntax, with these readers."""

SAFE_PUNCTUATION = "".join(mark for mark in punctuation if mark not in MISREAD)
"""The ASCII punctuation that every reader reads literally at any position of a value."""

SAFE_CHARACTERS = f"letters, digits and {SAFE_PUNCTUATION}"
"""The characters of passwords that can be written to an env file, for messages."""


def misreaders(value: str) -> tuple[str, ...]:
    """Return the readers that do not read *value* as Docker does."""
    if not value.isprintable():
        # A line break ends the value, and readers treat other control characters differently.
        return tuple(READERS)
    misreading = {reader for character in value for reader in MISREAD.get(character, ())}
    return tuple(reader for reader in READERS if reader in misreading)


def why_misread(readers: tuple[str, ...]) -> str:
    """Return why a password can't be written to an env file, without quoting the password."""
    *others, last = [READERS[reader] for reader in readers]
    names = f"{', '.join(others)} and {last}" if others else last
    return f"contains characters that {names} would misread in an env file"


def endpoint(broker: Broker, listener: Listener) -> str:
    """Return the URL to which clients connect, such as ``mqtt://192.168.2.3:1883``."""
    return f"{listener.scheme}://{_url_host(broker)}:{listener.port}"


def endpoints(broker: Broker) -> dict[str, str]:
    """Return the URL of each listener, by name."""
    return {name: endpoint(broker, listener) for name, listener in broker.listeners.items()}


def login_url(broker: Broker, listener: Listener, user: str, password: str) -> str:
    """Return the URL of a listener with user name and password (RFC 3986, 3.2.1)."""
    scheme, _, rest = endpoint(broker, listener).partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def login(broker: Broker, listener: Listener, user: str, password: str) -> dict[str, str]:
    """Return ``username``, ``password`` and ``url``, which are all that a client needs."""
    url = login_url(broker, listener, user, password)
    return {"username": user, "password": password, "url": url}


def render_env(
    broker: Broker, listener: Listener, user: str, password: str, *, ca: str | None = None
) -> str:
    """
    Return the text of an env file that all ``READERS`` read alike.

    *ca* is the path of the CA certificate on the machine where the file is read.

    Raises:
        ValueError: some readers would misread a value; the message does not contain the value.

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
    """Return the first line of a stack's env files, by which the host recognizes them."""
    return (
        f"# Written by Pulumi, stack {stack}. The next `pulumi up` overwrites what is edited here."
    )


def host_env_file(broker: Broker, stack: str, file: EnvFile, login: str, password: str) -> HostFile:
    """Return a file of ``broker.envFiles`` with the active login of its user."""
    listener = _env_listener(broker, file)
    # The CA of a given certificate is not the stack's, and is usually in the system's CA list.
    ca = ca_file(broker) if listener.tls is not None and not listener.tls.given else None
    text = render_env(broker, listener, login, password, ca=ca)
    return HostFile(path=file.path, owner=file.owner, text=f"{env_file_mark(stack)}\n{text}")


def _env_listener(broker: Broker, file: EnvFile) -> Listener:
    return broker.listeners[file.listener] if file.listener else broker.dialled_listener()


def _c_string(text: str) -> str:
    """Return *text* as a C string; it must contain neither control nor non-ASCII characters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _url_host(broker: Broker) -> str:
    return f"[{broker.address}]" if ":" in broker.address else broker.address
