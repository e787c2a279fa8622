"""How to log in, as a service wants to read it: URLs, and the text of an env file."""

from urllib.parse import quote

from broker.certificates import ca_file
from broker.layout import HostFile
from broker.site import Broker, EnvFile, Listener


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
    Return the text of an env file, as Docker's ``env_file`` and ``sh`` read it alike.

    *ca* is the path of the CA where the file is read.
    """
    trusted = f"MQTT_CA={ca}\n" if ca else ""
    return (
        f"MQTT_URL={endpoint(broker, listener)}\n"
        f"MQTT_HOST={broker.address}\n"
        f"MQTT_PORT={listener.port}\n"
        f"MQTT_USERNAME={user}\n"
        f"MQTT_PASSWORD={password}\n"
        f"{trusted}"
    )


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
