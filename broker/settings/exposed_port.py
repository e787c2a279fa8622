"""A port of the host that something of the broker's answers on, and who may reach it."""

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

from broker.settings.base_model import SettingsModel, refused
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
        """Read each network; a bad one is told in one sentence, not once for each IP version."""
        if not isinstance(raw, list):
            return raw
        networks: list[IPv4Network | IPv6Network] = []
        for index, each in enumerate(raw):
            try:
                networks.append(_network(each))
            except ValueError as wrong:
                raise refused(f"[{index}]", each, str(wrong)) from None
        for index, each in enumerate(networks):
            for other in networks[:index] + networks[index + 1 :]:
                if each.version == other.version and each.subnet_of(other):  # type: ignore[arg-type]
                    raise refused(
                        f"[{index}]",
                        str(each),
                        f"lies in {other}, which is listed too; take one of them out",
                    )
        return tuple(networks)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        for index, each in enumerate(self.allow_from):
            if self.bound.version == 4 and each.version == 6:  # noqa: PLR2004 (IP versions)
                raise refused(
                    f"allowFrom[{index}]",
                    str(each),
                    f"no IPv6 client reaches {self.bind_address}; set bindAddress to '::', which "
                    "is for both versions, or take the network out",
                )
        return self

    @property
    def for_anybody(self) -> bool:
        """Whether no network is named, or those that are hold every address of an IP version."""
        fourth = (each for each in self.allow_from if isinstance(each, IPv4Network))
        sixth = (each for each in self.allow_from if isinstance(each, IPv6Network))
        joined: list[IPv4Network | IPv6Network] = [*collapse_addresses(fourth)]
        joined += collapse_addresses(sixth)
        return not joined or any(each.prefixlen == 0 for each in joined)

    @property
    def bound(self) -> IPv4Address | IPv6Address:
        return ip_address(self.bind_address)


def _network(raw: Any) -> IPv4Network | IPv6Network:
    """
    Return the network that *raw* says.

    Raises:
        ValueError: it isn't CIDR. An address alone is not: 192.168.3.0 would be one machine.

    """
    rule = "must be a network in CIDR form, such as 192.168.3.0/24"
    if not isinstance(raw, str) or not re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", raw):
        raise ValueError(rule)
    try:
        network = ip_network(raw, strict=False)
    except ValueError:
        raise ValueError(rule) from None
    if "/" not in raw:
        raise ValueError(f"{rule}; for one machine: {network}")
    if str(network.network_address) != str(ip_address(raw.partition("/")[0])):
        raise ValueError(f"{rule}; it holds one machine's address, the network's is {network}")
    return network
