"""Settings of a listener: a port to which MQTT clients connect."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from broker.settings.base_model import refused
from broker.settings.exposed_port import ExposedPort
from broker.settings.tls_settings import Tls

Protocol = Literal["mqtt", "websockets"]


class Listener(ExposedPort):
    """A port that clients dial."""

    protocol: Protocol = Field(default="mqtt", description="`mqtt`, or `websockets` for browsers.")
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
    def _plain_or_not(self) -> Self:
        if self.plain and self.tls is not None:
            raise refused("plain", self.plain, "a listener with tls is not; take one of them out")
        return self

    @property
    def scheme(self) -> str:
        """What a URL of this listener begins with."""
        plain = "mqtt" if self.protocol == "mqtt" else "ws"
        return f"{plain}s" if self.tls else plain
