"""The certificates of the listeners: script calls, renewal, findings and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any

from broker.findings import PROJECT, Finding, error, note, warning
from broker.host import drift
from broker.host.facts import HostFacts
from broker.host.layout import folder_of, lock_file
from broker.host.probe_functions import Probe
from broker.host.script_calls import ScriptCall
from broker.host.script_functions import ApplyConfiguration, Certificates
from broker.mosquitto.mosquitto_conf import CLIENT_CA_FILE, KEY_AND_CERTIFICATE_FILE, TLS_DIR
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from broker.settings.tls_settings import Tls
from broker.tls.key_and_certificate import covers

FIRST = "there is none yet"
LOST = "its CA is not on the host any more"
"""Reasons that host/commands/probe.sh prints."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def certificates_folder(broker: Broker) -> str:
    """Return the folder on the host that contains keys, certificates and the stack's own CA."""
    return f"{folder_of(broker)}/certificates"


def ca_file(broker: Broker) -> str:
    """Return the path of the stack's own CA, which every user of the host can read."""
    return f"{folder_of(broker)}/ca.pem"


def subject_names(broker: Broker, tls: Tls) -> tuple[str, ...]:
    """Return the names in a certificate of the stack's own CA: those that clients may dial."""
    return tuple(dict.fromkeys((broker.address, "localhost", "127.0.0.1", *tls.names)))


def render_subject_names(broker: Broker, tls: Tls) -> str:
    """Return the value of ``subjectAltName`` (x509v3_config(5))."""
    return ",".join(f"{_kind(name)}:{name}" for name in subject_names(broker, tls))


def _kind(name: str) -> str:
    try:
        ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"


def certificate_calls(broker: Broker, socket: str, external: Mapping[str, str]) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/certificates.sh`` and of the three scripts that it needs.

    *external* is the PEM text of each certificate from the stack file with its key, by listener.
    """
    _, plain = broker.mqtt_listener()
    calls = [
        ApplyConfiguration.lock(lock_file(broker)),
        ApplyConfiguration.broker(
            broker.container,
            socket=socket,
            port=plain.port,
            folder=broker.folders.config,
            conf=broker.files.conf,
        ),
        Certificates.certificates(
            certificates_folder(broker),
            owner=broker.owner,
            grace=broker.stop_grace,
        ),
    ]
    if any(tls.needs_own_ca for _, _, tls in _tls_listeners(broker)):
        calls.append(Certificates.authority())
    for name, listener, tls in _tls_listeners(broker):
        calls.append(_certificate_call(broker, name, listener, tls, external))
        if tls.requires_client_certificate:
            calls.append(Certificates.clients(name, ca=tls.client_ca or ""))
    return calls


def _certificate_call(
    broker: Broker, name: str, listener: Listener, tls: Tls, external: Mapping[str, str]
) -> ScriptCall:
    address, port = _on_host(listener), listener.port
    if tls.external:
        text = external[name].rstrip("\n") + "\n"
        return Certificates.supplied(name, address=address, port=port, text=text)
    if tls.certificate is not None and tls.key is not None:
        return Certificates.given(
            name,
            address=address,
            port=port,
            certificate=tls.certificate,
            key=tls.key,
            ca=tls.ca or "",
        )
    return Certificates.own(
        name,
        address=address,
        port=port,
        days=tls.days,
        renew_before=tls.renew_before_days,
        subject_names=render_subject_names(broker, tls),
    )


def _tls_listeners(broker: Broker) -> Iterator[tuple[str, Listener, Tls]]:
    for name, listener in broker.listeners.items():
        if listener.tls is not None:
            yield name, listener, listener.tls


def _on_host(listener: Listener) -> str:
    """Return the address at which the host itself reaches the listener, in URL notation."""
    if listener.bound.is_unspecified:
        return "127.0.0.1"
    address = listener.bind_address
    return f"[{address}]" if listener.bound.version == 6 else address  # noqa: PLR2004 (IP version)


def certificate_probes(broker: Broker) -> Iterator[ScriptCall]:
    """Yield the calls of ``host/commands/probe.sh`` that inspect the certificates."""
    if not broker.tls_listeners:
        return
    yield Probe.certificates(container=broker.container, folder=certificates_folder(broker))
    for name, _, tls in _tls_listeners(broker):
        folder = f"{broker.folders.config}/{TLS_DIR}/{name}"
        if not tls.external:
            yield Probe.certificate(
                name,
                path=f"{folder}/{KEY_AND_CERTIFICATE_FILE}",
                renew_before=tls.renew_before_days,
                certificate=tls.certificate or "",
                key=tls.key or "",
                ca=tls.ca or "",
            )
        if tls.requires_client_certificate:
            yield Probe.client_ca(name, ca=tls.client_ca or "", path=f"{folder}/{CLIENT_CA_FILE}")


def certificate_errors(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return an error for each file that cannot be used, and if openssl is missing."""
    if not broker.tls_listeners:
        return []
    if facts.lacks_openssl:
        return [
            error(
                f"host {broker.host}",
                "the command openssl is missing; it creates and checks the certificates",
                "Install it (Debian, Ubuntu: apt-get install openssl).",
            )
        ]
    return [
        error(f"{PROJECT}:broker.listeners.{name}.tls.{field}", f"{value!r}: {rule}")
        for name, _, tls in _tls_listeners(broker)
        for certificate in (facts.certificate(name), facts.client_ca(name))
        if certificate.state == "wrong"
        for field, _, rule in [certificate.reason.partition(" ")]
        for value in [_values(tls).get(field)]
    ]


def _values(tls: Tls) -> dict[str, str | None]:
    return {
        "certificate": tls.certificate,
        "key": tls.key,
        "ca": tls.ca,
        "clientCa": tls.client_ca,
    }


def due(broker: Broker, facts: HostFacts) -> dict[str, str]:
    """Return why an ``up`` replaces a certificate, by listener; without those that are valid."""
    reasons: dict[str, str] = {}
    for certificate_facts in (facts.certificate, facts.client_ca):
        for name in broker.tls_listeners:
            certificate = certificate_facts(name)
            if certificate.state == "due":
                reasons.setdefault(name, certificate.reason)
    return reasons


def revision(broker: Broker, facts: HostFacts) -> str:
    """
    Return how many times certificates have been installed; a new number installs them again.

    Certificates expire without a changed input, so the probe of the host reports which are due.
    """
    changed = bool(due(broker, facts))
    return drift.revision(drift.CERTIFICATES, facts, broker.container, changed=changed)


def certificate_warnings(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return warnings about certificates that expire soon, and about a lost or expiring CA."""
    found = [
        warning(
            f"{PROJECT}:broker.listeners.{name}.tls.certificate",
            f"{tls.certificate!r}: expires {iso_date(ends)}",
            "Put the renewed certificate there; the next `pulumi up` installs it.",
        )
        for name, _, tls in _tls_listeners(broker)
        if (ends := facts.certificate_ends(name))
    ]
    found += [
        warning(
            f"{PROJECT}:broker.listeners.{name}.tls.certificate",
            f"{tls.certificate!r}: is for {', '.join(names)}, and not for broker.address "
            f"({broker.address}): clients that verify it refuse the broker",
            "Set broker.address to one of its names, or put a certificate for the address there.",
        )
        for name, _, tls in _tls_listeners(broker)
        if (names := facts.certificate_names(name)) and not covers(names, broker.address)
    ]
    if LOST in due(broker, facts).values():
        found.append(
            warning(
                "",
                "The stack's own CA is no longer on the host "
                f"({certificates_folder(broker)}/ca): this `pulumi up` creates a new one",
                "Install the new CA on every client (output certificates).",
            )
        )
    ends = facts.ca_ends(broker.container)
    if ends and any(tls.needs_own_ca for _, _, tls in _tls_listeners(broker)):
        found.append(
            warning(
                "",
                f"The stack's own CA expires {iso_date(ends)}, and with it every certificate that "
                "it signed",
                f"Move {certificates_folder(broker)}/ca away on the host: the next `pulumi up` "
                "creates a new CA. Install it on every client (output certificates).",
            )
        )
    return found


def certificate_notes(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return a note for each certificate that this `up` replaces, and whether clients notice."""
    found = _repair_notes(facts)
    for name, reason in due(broker, facts).items():
        if reason == FIRST:
            continue
        effect = (
            "A reload, and for the WebSockets of Mosquitto 2.0 a restart: every client is "
            "disconnected once"
            if broker.listeners[name].protocol == "websockets"
            else "A reload: nobody is disconnected"
        )
        found.append(note("", f"Listener {name} gets a new certificate: {reason}. {effect}"))
    return found


def _repair_notes(facts: HostFacts) -> list[Finding]:
    changed = {
        PurePosixPath(difference.subject).name
        for difference in drift.differences(facts)
        if difference.component == drift.CERTIFICATES and difference.of_content
    }
    if not {"ca.key", "ca"} & changed:
        return []
    return [
        note(
            "",
            "The stack's own CA was changed on the host: this `pulumi up` creates a new one. "
            "Install it on every client (output certificates)",
        )
    ]


def repair_restarts(facts: HostFacts) -> bool:
    """Return whether the CA of clients was changed on the host: only a start reads it again."""
    return any(
        difference.subject.endswith(f"/{CLIENT_CA_FILE}")
        and difference.of_content
        and difference.what != "was removed"
        for difference in drift.differences(facts)
    )


def describe_certificates(printed: str) -> dict[str, Any]:
    """Return the output ``certificates``, parsed from the output of ``certificates.sh``."""
    listeners: dict[str, Any] = {}
    lines = printed.splitlines()
    for line in lines:
        if line.startswith("certificate "):
            _, name, digest, end = line.split(" ", 3)
            listeners[name] = {"sha256": digest, "notAfter": iso_date(end)}
    pem = [line for line in lines if line and not line.startswith("certificate ")]
    return {
        "listeners": listeners,
        **({"ca": "\n".join(pem) + "\n"} if pem else {}),
    }


def iso_date(openssl: str) -> str:
    """Return ``Nov  4 10:15:55 2027 GMT`` as 2027-11-04T10:15:55Z; other text unchanged."""
    fields = openssl.split()
    if len(fields) != 5 or fields[0] not in _MONTHS:  # noqa: PLR2004 (month, day, time, year, GMT)
        return openssl
    month, day, time, year, _ = fields
    return f"{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T{time}Z"


def preview_texts(broker: Broker) -> dict[str, str]:
    """Return the texts about the certificates that a preview shows, by listener."""
    return {
        name: tls.certificate or f"own CA, {tls.days} days, {render_subject_names(broker, tls)}"
        for name, _, tls in _tls_listeners(broker)
    }
