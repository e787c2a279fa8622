"""Rotate the broker's log with the host's logrotate(8)."""

from broker.host.layout import ROOT
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import Logrotate
from broker.settings.broker_settings import Broker

FOLDER = "/etc/logrotate.d"


def logrotate_path(broker: Broker) -> str:
    return f"{FOLDER}/sentient-mqtt-{broker.container}"


def log_path(broker: Broker) -> str:
    return f"{broker.folders.log}/{broker.logging.file}"


def render_logrotate(broker: Broker) -> str:
    """
    Return the text of the file for logrotate.

    It uses ``copytruncate``. SIGHUP makes Mosquitto reopen its log, but also reload passwords and
    rules, and in 2.0 it breaks the count of connections
    (docs/explanation/decisions/0015-log-rotation-by-copying.md).
    """
    logging = broker.logging
    # Docker has lower-case units; logrotate has k, M and G.
    size = logging.max_size[:-1] + {"k": "k", "m": "M", "g": "G"}[logging.max_size[-1]]
    return f"""\
# Written by Pulumi from the stack file: the next `pulumi up` overwrites edits.
"{log_path(broker)}" {{
    daily
    maxsize {size}
    rotate {logging.keep}
    nodateext
    missingok
    notifempty
    compress
    delaycompress
    copytruncate
}}
"""


def logrotate_calls(broker: Broker) -> list[ScriptCall]:
    """Return the call of ``host/commands/logrotate.sh``."""
    path, text = logrotate_path(broker), render_logrotate(broker)
    return [Logrotate.rotated(log_path(broker), path, mode="0644", owner=ROOT, text=text)]
