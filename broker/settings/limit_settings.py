"""Settings of the broker's limits: connections, messages, descriptors, memory, processes."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from broker.settings.base_model import SettingsModel, rule_error

# The minimum of descriptors beside those of the clients: for listeners, the database, the log and
# the connection of the health check.
SPARE_FILES = 100
DEFAULT_SPARE_FILES = 240


class Limits(SettingsModel):
    """Limits for one client and for the broker as a whole."""

    max_connections: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description=(
            "Maximum number of clients per listener. Mosquitto 2.0 does not count "
            "WebSocket clients, and counts no clients after a reload; then `openFiles` is "
            "the limit."
        ),
    )
    max_queued_messages: int = Field(
        default=1000, ge=1, le=10_000_000, description="QoS 1 and 2 messages queued for a client."
    )
    max_inflight_messages: int = Field(
        default=20, ge=1, le=65_535, description="QoS 1 and 2 messages in flight to a client."
    )
    max_packet_size: int = Field(
        default=2_000_000,
        ge=20,
        le=268_435_456,
        description="Largest MQTT packet, in bytes. WebSockets of Mosquitto 2.0 do not obey it.",
    )
    open_files: int | None = Field(
        default=None,
        ge=64,
        le=1_048_576,
        description="File descriptors of the container, which limit the number of all clients; "
        f"`maxConnections` + {DEFAULT_SPARE_FILES} by default.",
    )

    memory: int = Field(
        default=2048, ge=64, le=1_048_576, description="Memory of the container, in MiB; no swap."
    )
    processes: int = Field(
        default=64, ge=16, le=4096, description="Processes and threads of the container."
    )

    @model_validator(mode="after")
    def _enough_descriptors(self) -> Self:
        least = self.max_connections + SPARE_FILES
        if self.open_files is not None and self.open_files < least:
            raise rule_error(
                "openFiles",
                self.open_files,
                f"must be at least {least}: one descriptor for each of the "
                f"{self.max_connections} connections and {SPARE_FILES} for the broker itself",
            )
        return self

    @property
    def descriptors(self) -> int:
        return self.open_files or self.max_connections + DEFAULT_SPARE_FILES
