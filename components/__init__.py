"""The broker as Pulumi components. Only these modules and __main__.py import pulumi."""

from components.backups import Backups
from components.configuration import Configuration
from components.container import BrokerContainer
from components.credentials import Credentials
from components.env_files import EnvFiles
from components.firewall import Firewall
from components.monitoring import Monitoring
from components.mqtt_broker import MqttBroker
from components.password_ages import PasswordAges

__all__ = [
    "Backups",
    "BrokerContainer",
    "Configuration",
    "Credentials",
    "EnvFiles",
    "Firewall",
    "Monitoring",
    "MqttBroker",
    "PasswordAges",
]
