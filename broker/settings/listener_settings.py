"""Settings of a listener: a port to which MQTT clients connect."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from broker.settings.base_model import rule_error
from broker.settings.exposed_port import ExposedPort
from broker.settings.tls_settings import Tls

Protocol = Literal["mqtt", "websockets"]


class Listener(ExposedPort):
    """A port to which clients connect."""

    protocol: Protocol = Field(
        default="mqtt",
        description=(
            "`mqtt`, or `websockets` for browsers. The WebSockets of Mosquitto 2.0 obey neither "
            "`maxPacketSize` nor `maxConnections`, and their clients choose the address in the "
            "log (`X-Forwarded-For`): an image of 2.1 is recommended."
        ),
    )
    max_connections: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description=(
            "Maximum number of clients on this listener; `limits.maxConnections` by default."
        ),
    )
    tls: Tls | None = Field(default=None, description="Encrypted, with a certificate.")
    plain: bool = Field(
        default=False,
        description=(
            "Confirms that this listener is for clients without TLS, if another listener has TLS."
        ),
    )

    @model_validator(mode="after")
    def _plain_or_tls(self) -> Self:
        if self.plain and self.tls is not None:
            raise rule_error(
                "plain", self.plain, "is for a listener without tls; remove 'plain' or 'tls'"
            )
        return self

    @property
    def scheme(self) -> str:
        """The scheme of this listener's URL."""
        plain = "mqtt" if self.protocol == "mqtt" else "ws"
        return f"{plain}s" if self.tls else plain
