"""Which certificates the listeners get, whether they are due, and what is public of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from broker.findings import PROJECT, Finding, error, note, warning
from broker.host.facts import HostFacts
from broker.host.layout import folder_of
from broker.host.script_calls import ScriptCall
from broker.mosquitto.mosquitto_conf import CLIENTS_FILE, PAIR_FILE, TLS_DIR
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from broker.settings.tls_settings import Tls

FIRST = "there is none yet"
LOST = "its CA is not on the host any more"
"""Two reasons of host/commands/probe.sh's, in its words."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def keeps(broker: Broker) -> str:
    return f"{folder_of(broker)}/certificates"


def ca_file(broker: Broker) -> str:
    """Return where everybody on the host can read the stack's own CA."""
    return f"{folder_of(broker)}/ca.pem"


def subject_names(broker: Broker, tls: Tls) -> tuple[str, ...]:
    """Return the names that an own certificate is for, each once: what clients may dial."""
    return tuple(dict.fromkeys((broker.address, "localhost", "127.0.0.1", *tls.names)))


def render_subject_names(broker: Broker, tls: Tls) -> str:
    """Return the value of ``subjectAltName`` (x509v3_config(5))."""
    return ",".join(f"{_kind(each)}:{each}" for each in subject_names(broker, tls))


def _kind(name: str) -> str:
    try:
        ip_address(name)
    except ValueError:
        return "DNS"
    return "IP"


def certificate_calls(
    broker: Broker, socket: str, revision: str, pairs: Mapping[str, str]
) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/certificates.sh``, with the three scripts before it.

    *pairs* is the PEM text of each supplied certificate with its key, by listener.
    """
    _, plain = broker.mqtt_listener()
    owner = (str(broker.owner.uid), str(broker.owner.gid))
    words: list[tuple[str, ...]] = [
        ("lock", f"/run/sentient-mqtt-{broker.container}.lock"),
        (
            *("broker", broker.container, socket, str(plain.port)),
            *(broker.folders.config, broker.files.conf),
        ),
        ("certificates", keeps(broker), *owner, str(broker.stop_grace), revision),
    ]
    if any(tls.needs_own_ca for _, _, tls in _served(broker)):
        words.append(("authority",))
    calls = [ScriptCall(words=each) for each in words]
    for name, listener, tls in _served(broker):
        where = (name, _on_host(listener), str(listener.port))
        if tls.external:
            calls.append(
                ScriptCall(words=("supplied", *where), text=pairs[name].rstrip("\n") + "\n")
            )
        elif tls.certificate is not None and tls.key is not None:
            files = (tls.certificate, tls.key, tls.ca or "")
            calls.append(ScriptCall(words=("given", *where, *files)))
        else:
            span = (str(tls.days), str(tls.renew_before_days))
            names = render_subject_names(broker, tls)
            calls.append(ScriptCall(words=("own", *where, *span, names)))
        if tls.requires_client_certificate:
            calls.append(ScriptCall(words=("clients", name, tls.client_ca or "")))
    return calls


def _served(broker: Broker) -> Iterator[tuple[str, Listener, Tls]]:
    for name, each in broker.listeners.items():
        if each.tls is not None:
            yield name, each, each.tls


def _on_host(listener: Listener) -> str:
    """Return the address at which the host itself reaches it, as a URL writes it."""
    if listener.bound.is_unspecified:
        return "127.0.0.1"
    address = listener.bind_address
    return f"[{address}]" if listener.bound.version == 6 else address  # noqa: PLR2004 (IP version)


def probe_words(broker: Broker) -> Iterator[tuple[str, ...]]:
    """Yield the calls of ``host/commands/probe.sh`` that look at the certificates."""
    if not broker.tls_listeners:
        return
    yield ("certificates", broker.container, keeps(broker))
    for name, _, tls in _served(broker):
        folder = f"{broker.folders.config}/{TLS_DIR}/{name}"
        files = (tls.certificate or "", tls.key or "", tls.ca or "")
        before = str(tls.renew_before_days)
        if not tls.external:
            yield ("certificate", name, f"{folder}/{PAIR_FILE}", before, *files)
        if tls.requires_client_certificate:
            yield ("client_ca", name, tls.client_ca or "", f"{folder}/{CLIENTS_FILE}")


def certificate_errors(broker: Broker, seen: HostFacts) -> list[Finding]:
    """Return an error for each thing on the host that would stop a certificate."""
    if not broker.tls_listeners:
        return []
    if seen.lacks_openssl:
        return [
            error(
                f"host {broker.host}",
                "the command openssl is not there; it makes and checks the certificates",
                "Install it (Debian, Ubuntu: apt-get install openssl).",
            )
        ]
    return [
        error(f"{PROJECT}:broker.listeners.{name}.tls.{field}", f"{value!r}: {rule}")
        for name, _, tls in _served(broker)
        for seen_of_it in (seen.certificate(name), seen.client_ca(name))
        if seen_of_it.state == "wrong"
        for field, _, rule in [seen_of_it.reason.partition(" ")]
        for value in [_values(tls).get(field)]
    ]


def _values(tls: Tls) -> dict[str, str | None]:
    return {
        "certificate": tls.certificate,
        "key": tls.key,
        "ca": tls.ca,
        "clientCa": tls.client_ca,
    }


def due(broker: Broker, seen: HostFacts) -> dict[str, str]:
    """Return why a listener gets another certificate at this ``up``, by its name."""
    found: dict[str, str] = {}
    for look in (seen.certificate, seen.client_ca):
        for name in broker.tls_listeners:
            certificate = look(name)
            if certificate.state == "due":
                found.setdefault(name, certificate.reason)
    return found


def revision(broker: Broker, seen: HostFacts) -> str:
    """
    Return how many times certificates have been put in place: another number, and it is done again.

    Time goes by without an input changing; the look at the host tells when one is due.
    """
    clock = seen.certificates_never(broker.container)
    if clock and seen.been_up(broker.container):
        # They were lost: the host's clock is no number of before.
        return clock
    done = seen.certificates_revision(broker.container) or 0
    return str(max(1, done + 1 if due(broker, seen) else done))


def certificate_warnings(broker: Broker, seen: HostFacts) -> list[Finding]:
    """Warn of certificates that end soon, and of a CA that is lost or ends soon."""
    found = [
        warning(
            f"{PROJECT}:broker.listeners.{name}.tls.certificate",
            f"{tls.certificate!r}: ends {iso_date(ends)}",
            "Put the renewed one there, the next `pulumi up` takes it.",
        )
        for name, _, tls in _served(broker)
        if (ends := seen.certificate_ends(name))
    ]
    if LOST in due(broker, seen).values():
        found.append(
            warning(
                "",
                f"The stack's own CA is not on the host any more ({keeps(broker)}/ca): this "
                "`pulumi up` makes another one",
                "Give it to every client (output certificates).",
            )
        )
    ends = seen.ca_ends(broker.container)
    if ends and any(tls.needs_own_ca for _, _, tls in _served(broker)):
        found.append(
            warning(
                "",
                f"The stack's own CA ends {iso_date(ends)}, and no certificate lasts longer",
                f"Move {keeps(broker)}/ca away on the host: the next `pulumi up` makes another "
                "one, and every client must be given it (output certificates).",
            )
        )
    return found


def certificate_notes(broker: Broker, seen: HostFacts) -> list[Finding]:
    """Tell which certificates are due, and who notices."""
    found: list[Finding] = []
    for name, why in due(broker, seen).items():
        if why == FIRST:
            continue
        reload_ = (
            "A reload; Mosquitto 2.0's WebSockets need a restart for it: every client is "
            "disconnected once"
            if broker.listeners[name].protocol == "websockets"
            else "A reload: nobody is disconnected"
        )
        found.append(note("", f"Listener {name} gets another certificate: {why}. {reload_}"))
    return found


def describe_certificates(printed: str) -> dict[str, Any]:
    """Return the output ``certificates`` from what ``host/commands/certificates.sh`` printed."""
    listeners: dict[str, Any] = {}
    lines = printed.splitlines()
    for line in lines:
        if line.startswith("certificate "):
            _, name, digest, end = line.split(" ", 3)
            listeners[name] = {"sha256": digest, "notAfter": iso_date(end)}
    pem = [each for each in lines if each and not each.startswith("certificate ")]
    return {
        "listeners": listeners,
        **({"ca": "\n".join(pem) + "\n"} if pem else {}),
    }


def iso_date(openssl: str) -> str:
    """Return ``Nov  4 10:15:55 2027 GMT`` as 2027-11-04T10:15:55Z; anything else as it is."""
    parts = openssl.split()
    if len(parts) != 5 or parts[0] not in _MONTHS:  # noqa: PLR2004 (month, day, time, year, GMT)
        return openssl
    month, day, time, year, _ = parts
    return f"{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T{time}Z"


def shown(broker: Broker, revision: str) -> dict[str, str]:
    """Return what a preview shows of the certificates, by listener."""
    lines = {
        name: tls.certificate or f"own CA, {tls.days} days, {render_subject_names(broker, tls)}"
        for name, _, tls in _served(broker)
    }
    return {**lines, "turn": revision}
