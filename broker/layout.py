"""What lies where on the host: folders, files, and whom each belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.acl import HEALTH_TOPIC
from broker.canary import NAME as CANARY
from broker.canary import canary_password, passwd_line
from broker.conf import CONFIG_DIR
from broker.delivery import Call
from broker.host import Seen
from broker.site import Broker, Owner

KEEPS = "/etc/sentient-mqtt"
UNITS = "/etc/systemd/system"

CANARY_DIR = "canary"
"""Below the configuration folder: the login of the check that follows a change."""

CANARY_FILE = f"{CANARY_DIR}/mosquitto_pub"

LOGINS_FILE = "logins"
"""Below the configuration folder: which logins the broker knows, so that a preview can compare."""

HEALTH_DIR = "health"
"""Below the configuration folder: where the health check's ``mosquitto_sub`` finds its login."""

# Owner and group are the broker's own and nobody else may read: neither release line warns.
FOLDER_MODE = "0750"
FILE_MODE = "0600"

READY_SECONDS = 60

RELOAD_SECONDS = 60
"""For how long a broker may answer nobody after a reload, as it hashes each client's password anew.

Some 45 clients with passwords that people chose are 12 seconds (docs/decisions/0012).
"""


def folder_of(broker: Broker) -> str:
    """Return where the host keeps what is in none of the folders: rules, scripts, a CA."""
    return f"{KEEPS}/{broker.container}"


@dataclass(frozen=True, kw_only=True)
class HostFile:
    """A file on the host, whole."""

    path: str
    owner: Owner
    text: str
    mode: str = FILE_MODE

    def call(self) -> Call:
        words = ("put", self.path, self.mode, str(self.owner.uid), str(self.owner.gid))
        return Call(words=words, text=self.text)


def folder_calls(broker: Broker) -> list[Call]:
    """Return the calls of ``host/folders.sh``: what is kept on removal comes last."""
    folders = broker.folders
    owner = (str(broker.owner.uid), str(broker.owner.gid))
    return [
        Call(words=("folder", "ours", folders.config, FOLDER_MODE, *owner)),
        Call(words=("folder", "ours", f"{folders.config}/{HEALTH_DIR}", FOLDER_MODE, *owner)),
        Call(words=("folder", "ours", f"{folders.config}/{CANARY_DIR}", FOLDER_MODE, *owner)),
        Call(words=("folder", "kept", folders.data, FOLDER_MODE, *owner)),
        Call(words=("folder", "kept", folders.log, FOLDER_MODE, *owner)),
    ]


def configuration_files(
    broker: Broker,
    *,
    conf: str,
    acl: str,
    passwd: str,
    health_password: str,
    seed: str,
    stamps: Mapping[str, str],
) -> list[HostFile]:
    """
    Return the files that the broker reads, in the order in which they are put in place.

    The ACL comes before the passwords: a broker that is started between the two renames must
    not know a new user without the rules that bind it (host/apply.sh has those go first who are
    removed). mosquitto.conf comes last: it names the others. *seed* is the salts'; the canary's
    password is derived from it and all texts.
    """
    folder = broker.folders.config
    canary = canary_password(seed, conf, acl, passwd, health_password)
    line = passwd_line(seed, canary, broker.passwords.iterations)
    texts = {
        broker.files.acl: acl,
        broker.files.passwords: passwd + line,
        f"{HEALTH_DIR}/mosquitto_sub": render_options(broker.health.user, health_password),
        CANARY_FILE: render_options(CANARY, canary),
        LOGINS_FILE: "".join(f"{name} {stamp}\n" for name, stamp in sorted(stamps.items())),
        broker.files.conf: conf,
    }
    return [
        HostFile(path=f"{folder}/{name}", owner=broker.owner, text=text)
        for name, text in texts.items()
    ]


def render_options(user: str, password: str) -> str:
    """Return the options that a client reads from a file (mosquitto_sub(1), "Files")."""
    return f"-u {user}\n-P {password}\n"


def apply_calls(broker: Broker, socket: str, image: str, files: list[HostFile]) -> list[Call]:
    """Return the calls of ``host/files.sh`` with ``host/apply.sh``."""
    _, listener = broker.mqtt_listener()
    return [
        Call(words=("lock", f"/run/sentient-mqtt-{broker.container}.lock")),
        Call(
            words=(
                *("broker", broker.container, socket, str(listener.port)),
                *(broker.folders.config, broker.files.conf),
                *(broker.files.passwords, str(RELOAD_SECONDS)),
            )
        ),
        _retreat_call(broker, files),
        Call(words=("image", image)),
        *(each.call() for each in files),
    ]


def _retreat_call(broker: Broker, files: list[HostFile]) -> Call:
    # Its canary is another one than the files': as secret, and derived from that.
    (options,) = (each.text for each in files if each.path.endswith(f"/{CANARY_FILE}"))
    password = canary_password(options, "retreat")
    return Call(
        words=("retreat", broker.files.acl, LOGINS_FILE, CANARY_FILE, broker.health.user),
        text=passwd_line(options, password, broker.passwords.iterations)
        + render_options(CANARY, password),
    )


def database_call(broker: Broker, socket: str, image: str) -> Call:
    """Return the call of ``host/database.sh``."""
    return Call(words=("database", broker.container, socket, image, broker.folders.data))


def guard_call(broker: Broker, digest: str) -> Call:
    """Return the call of ``host/guard.sh``; *digest* is the label of the container to come."""
    return Call(words=("guard", digest, "yes" if broker.persistence.one_way else "no"))


def publications(broker: Broker, seen: Seen) -> list[tuple[int, str]]:
    """
    Return each port with the addresses that Docker is to publish it on: for it `::` is IPv6 alone.

    In the order in which Docker tells them of the container that runs. Docker 20.10 tells them
    backwards, and another order would be taken for a change that replaces the container.
    """
    both = ["0.0.0.0", "::"]  # noqa: S104 (what `::` means to everybody else)
    told = seen.get("published", broker.container).split()
    if set(both) <= set(told):
        both.sort(key=told.index)
    return [
        (listener.port, address)
        for listener in sorted(broker.listeners.values(), key=lambda each: each.port)
        for address in (both if listener.bind_address == "::" else [listener.bind_address])
    ]


def ports_on_host(broker: Broker, *, reserved: bool) -> list[int]:
    """Return the ports that the broker's own process takes, where it is in the host's network."""
    on_loopback = [broker.reserved_port] if reserved and broker.network == "host" else []
    return [*(each.port for each in broker.listeners.values()), *on_loopback]


def ready_call(broker: Broker) -> Call:
    """Return the call of ``host/ready.sh``."""
    _, listener = broker.mqtt_listener()
    most = str(broker.limits.processes)
    return Call(words=("broker", broker.inside, str(listener.port), str(READY_SECONDS), most))


def health_environment() -> list[str]:
    """Return the container's environment: where the options file is, and nothing secret."""
    return [f"XDG_CONFIG_HOME={CONFIG_DIR}/{HEALTH_DIR}"]


def health_test(broker: Broker) -> list[str]:
    """Return Docker's ``HEALTHCHECK`` command: a login that ends with one message received."""
    _, listener = broker.mqtt_listener()
    wait = str(max(1, broker.health.timeout - 1))
    return [
        *("CMD", "mosquitto_sub", "-h", broker.inside, "-p", str(listener.port)),
        *("-t", HEALTH_TOPIC, "-C", "1", "-W", wait, "-I", "health-"),
    ]
