"""Settings of a port that the broker or its exporter opens on the host."""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from broker.settings.base_model import SettingsModel, rule_error
from broker.settings.validators import check_bind_address

Port = Annotated[int, Field(ge=1, le=65535)]


class ExposedPort(SettingsModel):
    """A port on an address of the host, and the networks that may reach it."""

    port: Port = Field(description="TCP port, on the host and in the container.")
    bind_address: Annotated[str, AfterValidator(check_bind_address)] = Field(
        default="0.0.0.0",  # noqa: S104 (Docker's own default; IPv4 only, unlike an absent one)
        description=(
            "Host address to bind the port to; `::` binds all addresses of both IP versions."
        ),
    )
    allow_from: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description=(
            "Networks (CIDR) that may reach the port; all others are blocked. Without it, "
            "every network may."
        ),
    )

    @field_validator("allow_from", mode="before")
    @classmethod
    def _networks(cls, raw: Any) -> Any:
        """Parse the networks here: pydantic would report an error for each IP version."""
        if not isinstance(raw, list):
            return raw
        networks: list[IPv4Network | IPv6Network] = []
        for index, text in enumerate(raw):
            try:
                networks.append(_network(text))
            except ValueError as error:
                raise rule_error(f"[{index}]", text, str(error)) from None
        for index, network in enumerate(networks):
            for other in networks[:index] + networks[index + 1 :]:
                if network.version == other.version and network.subnet_of(other):  # type: ignore[arg-type]
                    raise rule_error(
                        f"[{index}]",
                        str(network),
                        f"is part of {other}, which is listed, too; remove one of them",
                    )
        return tuple(networks)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        for index, network in enumerate(self.allow_from):
            if self.bound.version == 4 and network.version == 6:  # noqa: PLR2004 (IP versions)
                raise rule_error(
                    f"allowFrom[{index}]",
                    str(network),
                    f"no IPv6 client reaches {self.bind_address}; set bindAddress to '::', which "
                    "accepts both IP versions, or remove the network",
                )
        return self

    @property
    def open_to_everyone(self) -> bool:
        """Whether ``allowFrom`` is empty or covers every address of an IP version."""
        ipv4 = (network for network in self.allow_from if isinstance(network, IPv4Network))
        ipv6 = (network for network in self.allow_from if isinstance(network, IPv6Network))
        merged: list[IPv4Network | IPv6Network] = [*collapse_addresses(ipv4)]
        merged += collapse_addresses(ipv6)
        return not merged or any(network.prefixlen == 0 for network in merged)

    @property
    def bound(self) -> IPv4Address | IPv6Address:
        return ip_address(self.bind_address)


def _network(raw: Any) -> IPv4Network | IPv6Network:
    """
    Parse a network in CIDR form.

    Raises:
        ValueError: *raw* is not in CIDR form. An address without a prefix length is an error,
            because 192.168.3.0 would mean one host.

    """
    rule = "must be a network in CIDR form, such as 192.168.3.0/24"
    if not isinstance(raw, str) or not re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", raw):
        raise ValueError(rule)
    try:
        network = ip_network(raw, strict=False)
    except ValueError:
        raise ValueError(rule) from None
    if "/" not in raw:
        raise ValueError(f"{rule}; for one host: {network}")
    if str(network.network_address) != str(ip_address(raw.partition("/")[0])):
        raise ValueError(f"{rule}; this is the address of a host, and its network is {network}")
    return network
