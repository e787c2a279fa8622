"""The files, script calls and outputs of the firewall for the chosen backend."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from broker.firewall.backend import Choice, short_name
from broker.firewall.iptables import render_iptables
from broker.firewall.nftables import render_nftables
from broker.firewall.ufw import ufw_rules
from broker.host.layout import ROOT, UNITS, folder_of
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import Firewall, PutFiles
from broker.settings.broker_settings import Broker


def render_load(broker: Broker, choice: Choice) -> str:
    """Return the script that applies the rules, during an ``up`` and when the host starts."""
    folder, short = folder_of(broker), short_name(broker.container)
    lines = [
        "#!/bin/sh",
        f"# Puts the rules for {broker.container} in force.",
        "set -eu",
        # NAME.left exists while a `pulumi up` is under way or interrupted
        # (host/commands/firewall.sh).
        'rules() { if [ -e "$1.left" ]; then echo "$1.left"; else echo "$1"; fi; }',
    ]
    if choice.rules == "nftables":
        return "\n".join([*lines, f'nft -f "$(rules {folder}/rules.nft)"']) + "\n"
    jumps = [f"INPUT -j MQTT-IN-{short}", f"FORWARD -o {short} -j MQTT-FW-{short}"]
    for version in choice.ip_versions:
        command = "iptables" if version == 4 else "ip6tables"  # noqa: PLR2004 (an IP version)
        lines.append(f'{command}-restore -w --noflush <"$(rules {folder}/rules.v{version})"')
        lines += [
            f"{command} -w -t mangle -C {jump} 2>/dev/null || {command} -w -t mangle -I {jump}"
            for jump in jumps
        ]
    return "\n".join(lines) + "\n"


def unit_of(broker: Broker) -> str:
    return f"sentient-mqtt-firewall-{broker.container}.service"


def render_unit(broker: Broker) -> str:
    """
    Return the systemd unit that loads the rules before Docker starts a container.

    It is part of the units that flush all rules of the host when they start, stop or reload: after
    a restart of nftables.service, systemd loads these rules again.
    """
    return f"""\
# Written by Pulumi from the stack file: the next `pulumi up` overwrites edits.
[Unit]
Description=Who may reach the MQTT broker {broker.container}
After=nftables.service netfilter-persistent.service ufw.service
Before=docker.service
PartOf=nftables.service netfilter-persistent.service
ReloadPropagatedFrom=nftables.service netfilter-persistent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {folder_of(broker)}/load
ExecReload=/bin/sh {folder_of(broker)}/load

[Install]
WantedBy=multi-user.target docker.service
"""


def rules_texts(broker: Broker, choice: Choice) -> dict[str, str]:
    """Return the text of each rules file, by file name."""
    if choice.rules == "nftables":
        return {"rules.nft": render_nftables(broker)}
    return {f"rules.v{version}": render_iptables(broker, version) for version in choice.ip_versions}


def firewall_calls(broker: Broker, choice: Choice) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/firewall.sh``; the libraries that it needs are
    ``host/lib/put_files.sh`` and ``host/lib/firewall_rules.sh``.
    """
    folder = folder_of(broker)
    calls = [_firewall_call(broker, choice)]
    calls += [
        PutFiles.put(f"{folder}/{name}", mode="0644", owner=ROOT, text=text)
        for name, text in rules_texts(broker, choice).items()
    ]
    load, unit = render_load(broker, choice), render_unit(broker)
    calls += [
        PutFiles.put(f"{folder}/load", mode="0755", owner=ROOT, text=load),
        Firewall.unit(f"{UNITS}/{unit_of(broker)}", mode="0644", owner=ROOT, text=unit),
    ]
    return [*calls, *_ufw_calls(broker, choice)]


def digest(broker: Broker, choice: Choice) -> str:
    """Return a digest of the texts of all files."""
    texts = [call.text or "" for call in firewall_calls(broker, choice)]
    return sha256("".join(texts).encode()).hexdigest()[:16]


def close_former_ports_calls(broker: Broker, choice: Choice) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/close_former_ports.sh``, which runs after
    ``firewall_calls`` and the move of the container.
    """
    return [_firewall_call(broker, choice), *_ufw_calls(broker, choice)]


def _ufw_calls(broker: Broker, choice: Choice) -> list[ScriptCall]:
    if choice.backend != "ufw":
        return []
    return [Firewall.ufw_rule(rule) for rule in ufw_rules(broker)]


def _firewall_call(broker: Broker, choice: Choice) -> ScriptCall:
    """Return the call that tells ``host/lib/firewall_rules.sh`` how to find this stack's rules."""
    return Firewall.firewall(
        backend=choice.backend,
        rules=choice.rules,
        container=broker.container,
        short_name=short_name(broker.container),
        unit=unit_of(broker),
    )


def describe_firewall(broker: Broker, choice: Choice | None) -> dict[str, Any]:
    """Return the output ``firewall``: who may reach which port, and what enforces it."""
    listeners = {
        name: {
            "port": listener.port,
            "bindAddress": listener.bind_address,
            "allowFrom": [str(network) for network in listener.allow_from] or ["anybody"],
        }
        for name, listener in broker.exposed_ports.items()
    }
    if choice is None:
        return {"backend": "none", "listeners": listeners}
    boot = unit_of(broker) if choice.systemd else missing_at_boot(broker)
    return {
        "backend": choice.backend,
        "enforcedBy": choice.rules,
        "boot": boot,
        "listeners": listeners,
    }


def missing_at_boot(broker: Broker) -> str:
    return (
        f"nothing loads the rules when the host starts (no systemd): have {folder_of(broker)}/load "
        "run before Docker is started"
    )


def preview_texts(broker: Broker, choice: Choice) -> dict[str, str]:
    """Return the texts whose line-by-line diff a preview shows."""
    texts = rules_texts(broker, choice)
    if choice.backend == "ufw":
        texts["ufw"] = "".join(f"ufw {rule}\n" for rule in ufw_rules(broker))
    return texts
