"""The broker as resources. Only these modules talk to Pulumi."""

from components.backups import Backups
from components.configuration import Configuration
from components.container import BrokerContainer
from components.credentials import Credentials
from components.envfiles import EnvFiles
from components.firewall import Firewall
from components.monitoring import Monitoring
from components.rotations import Rotations

__all__ = [
    "Backups",
    "BrokerContainer",
    "Configuration",
    "Credentials",
    "EnvFiles",
    "Firewall",
    "Monitoring",
    "Rotations",
]
