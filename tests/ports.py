"""A port for a broker, which nothing else on this machine is given while the broker restarts."""

import random
import socket
from contextlib import ExitStack

# Below those of outgoing connections and of Pulumi's plugins (ip_local_port_range, ip(7)): one of
# those would be taken by another process as soon as its broker lets go of it.
RANGE = range(20_000, 32_000)

_held: list[socket.socket] = []


def free_port() -> int:
    """Return a port at which nobody listens, and which no process of the tests was given."""
    while True:
        port = random.choice(RANGE)
        if _hold(port) and _is_free(port):
            return port


def _hold(port: int) -> bool:
    """Reserve *port* until this process ends, by the name of a socket in this network namespace."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0sentient-mqtt-tests-port-{port}")
    except OSError:
        name.close()
        return False
    _held.append(name)
    return True


def _is_free(port: int) -> bool:
    with ExitStack() as held:
        try:
            held.enter_context(socket.create_server(("0.0.0.0", port)))
        except OSError:
            return False
    return True
