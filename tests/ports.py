"""A port for a broker, which nothing else on this machine is given while the broker restarts."""

import random
import socket
from contextlib import ExitStack

# Below those of outgoing connections and of Pulumi's plugins (ip_local_port_range, ip(7)): one of
# those would be taken by another process as soon as its broker lets go of it.
RANGE = range(20_000, 32_000)

_given: set[int] = set()


def free_port() -> int:
    """Return a port at which nobody listens, another one each time."""
    while True:
        port = random.choice(RANGE)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with ExitStack() as held:
        try:
            held.enter_context(socket.create_server(("0.0.0.0", port)))
        except OSError:
            return False
    return True
