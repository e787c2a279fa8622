"""What a change needs: which settings a running broker takes, and which need a new container."""

from hashlib import sha256

from broker.conf import render_conf
from broker.site import Broker


def restart_digest(broker: Broker) -> str:
    """
    Return a digest of all that only a start of the broker applies.

    mosquitto.conf counts whole: of what a reload would take, mosquitto.conf(5) says more than
    the broker does. Users and rules are not in it: a reload takes them.
    """
    return sha256(render_conf(broker).encode()).hexdigest()[:16]
