"""Settings of monitoring: the exporter and the metrics of node_exporter."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from broker.settings.base_model import Folder, UserName, rule_error
from broker.settings.exposed_port import ExposedPort, Port
from broker.settings.validators import check_bind_address, check_image


class Monitoring(ExposedPort):
    """An exporter of the broker's statistics, and metrics that the host writes."""

    user: UserName = Field(description="User of the exporter; it must be allowed to read `$SYS/#`.")
    port: Port = Field(
        default=9641, description="Port on which the exporter serves `/metrics`, by HTTP."
    )
    bind_address: Annotated[str, AfterValidator(check_bind_address)] = Field(
        default="127.0.0.1",
        description=(
            "Host address to bind the port to; Prometheus runs there, or connects from `allowFrom`."
        ),
    )
    image: Annotated[str, AfterValidator(check_image)] = Field(
        default="ghcr.io/hikhvar/mqtt2prometheus:v0.1.7",
        description=(
            "The exporter's image, with a tag or digest; `allowStandIn` applies to it, too."
        ),
    )
    textfile: Folder | None = Field(
        default="/var/lib/prometheus/node-exporter",
        description=(
            "Folder of node_exporter's textfile collector: every minute the host writes "
            "metrics there that are not in `$SYS`; `null`: none are written."
        ),
    )

    @model_validator(mode="after")
    def _allow_from_or_loopback(self) -> Self:
        # /metrics requires no login.
        if not self.bound.is_loopback and not self.allow_from:
            raise rule_error(
                "allowFrom",
                [],
                f"must list the networks that may read the statistics on {self.bind_address}, such "
                "as the address of Prometheus, [192.168.2.5/32]; or set bindAddress to 127.0.0.1",
            )
        return self
