"""Free ports for brokers that no other process takes while the broker restarts."""

import random
import socket
from contextlib import ExitStack

# Below the ephemeral ports (ip_local_port_range, ip(7)), which another process may get while a
# broker restarts.
RANGE = range(20_000, 32_000)

_held: list[socket.socket] = []


def free_port() -> int:
    """Return a port on which no process listens and that no other test has."""
    while True:
        port = random.choice(RANGE)
        if _hold(port) and _is_free(port):
            return port


def _hold(port: int) -> bool:
    """Reserve *port* until this process ends, with a named socket in this network namespace."""
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
