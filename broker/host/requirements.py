"""What a stack needs of its host, gathered from its settings."""

from broker.credentials.env_files import env_file_mark
from broker.firewall.rules import is_declared, short_name
from broker.host.facts import HostRequirements, Transport
from broker.host.layout import LOGINS_FILE, folder_looks
from broker.host.script_calls import ScriptCall
from broker.mosquitto.impact import remembered
from broker.mosquitto.mosquitto_conf import CONFIG_DIR
from broker.settings.stack_settings import Settings
from broker.tls.certificates import probe_words

STAND_IN = "localhost/mosquitto-from-debian:*-trixie"
"""What ``images/`` makes where no registry can be reached. ``localhost/`` can't be pulled."""
EXPORTER_STAND_IN = "localhost/mqtt2prometheus-from-debian:*-trixie"


def host_requirements(settings: Settings, stack: str) -> HostRequirements:
    """Return the needs of *stack*, each under the path that the stack file gives it."""
    broker = settings.broker
    exporter = broker.monitoring.image if broker.monitoring else ""
    return HostRequirements(
        stack=stack,
        container=broker.container,
        image=broker.image,
        stand_in=STAND_IN if broker.allow_stand_in else "",
        exporter=exporter,
        exporter_stand_in=EXPORTER_STAND_IN if exporter and broker.allow_stand_in else "",
        ports={
            f"broker.{broker.path_of(name)}.port": each.port for name, each in broker.gates.items()
        },
        reserved_port=broker.reserved_port if broker.network == "host" else 0,
        folders={
            "broker.folders.config": broker.folders.config,
            "broker.folders.data": broker.folders.data,
            "broker.folders.log": broker.folders.log,
            **({"broker.backups.folder": broker.backups.folder} if broker.backups else {}),
        },
        folder_looks=tuple(folder_looks(broker)),
        env_files={
            f"broker.envFiles[{index}].path": each.path
            for index, each in enumerate(broker.env_files)
        },
        become=broker.become,
        logins_file=f"{broker.folders.config}/{LOGINS_FILE}",
        logins=remembered(settings),
        bridge=short_name(broker.container) if is_declared(broker) else "",
        certificates=tuple(probe_words(broker)),
    )


def probe_calls(wanted: HostRequirements, transport: Transport) -> list[ScriptCall]:
    """Return the calls of ``host/commands/probe.sh``."""
    words: list[tuple[str, ...]] = [("host", transport.socket)]
    words += [("image", each) for each in (wanted.image, wanted.exporter) if each]
    words += [("standin", each) for each in (wanted.stand_in, wanted.exporter_stand_in) if each]
    words += [("container", wanted.container)]
    words += [("logins", wanted.logins_file, wanted.container, f"{CONFIG_DIR}/{LOGINS_FILE}")]
    words += [("port", str(each), wanted.stack) for each in wanted.ports.values()]
    words += wanted.folder_looks
    words += [("port", str(wanted.reserved_port), wanted.stack)] if wanted.reserved_port else []
    words += [("envfile", each, env_file_mark(wanted.stack)) for each in wanted.env_files.values()]
    words += [("firewall", wanted.container, wanted.bridge)] if wanted.bridge else []
    words += wanted.certificates
    return [ScriptCall(words=each) for each in words]


def firewall_probe_calls(wanted: HostRequirements, transport: Transport) -> list[ScriptCall]:
    """Return those of ``host/commands/probe.sh`` that ask for the firewall's rules alone."""
    words = (("host", transport.socket), ("firewall", wanted.container, wanted.bridge))
    return [ScriptCall(words=each) for each in words]
