"""What a listener with TLS serves, and what it asks of its clients, as the stack file says it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from broker.settings.base_model import FROM_LIST, AbsolutePath, SettingsModel, refused
from broker.settings.validators import check_absolute, check_address

SUPPLIED = "supplied"
"""Instead of a path: key and certificate are in the stack's secrets."""


def _check_source(text: str) -> str:
    return text if text == SUPPLIED else check_absolute(text)


class Tls(SettingsModel):
    """A certificate of the stack's own CA; or, with ``certificate`` and ``key``, a given one."""

    certificate: Annotated[str, AfterValidator(_check_source)] | None = Field(
        default=None,
        description=(
            "PEM file on the host: the certificate, followed by intermediate "
            "certificates. `supplied`: certificate and key are in the secret "
            "`certificates`. By default a certificate of the stack's own CA, created on "
            "the host."
        ),
    )
    key: AbsolutePath | None = Field(
        default=None, description="PEM file on the host: the key of `certificate`, unencrypted."
    )
    ca: AbsolutePath | None = Field(
        default=None,
        description=(
            "PEM file on the host: the CA that must have issued `certificate`; the host's "
            "CA list by default."
        ),
    )
    names: Annotated[tuple[Annotated[str, AfterValidator(check_address)], ...], FROM_LIST] = Field(
        default=(),
        description=(
            "Names and IP addresses in the certificate of the stack's own CA, in addition "
            "to `broker.address`, `localhost` and `127.0.0.1`."
        ),
    )
    days: int = Field(
        default=397,
        ge=1,
        le=3650,
        description="Validity in days of a certificate of the stack's own CA.",
    )
    renew_before_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description=(
            "An `up` within this many days of the end creates a new certificate, or "
            "copies a given one with a warning."
        ),
    )
    minimum_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Minimum TLS version."
    )
    client_certificates: Literal["none", "required"] = Field(
        default="none", description="`required`: clients without a certificate cannot connect."
    )
    client_ca: AbsolutePath | None = Field(
        default=None,
        description=(
            "PEM file on the host: the CA of the clients' certificates; the stack's own "
            "CA by default."
        ),
    )
    identity_as_username: bool = Field(
        default=False,
        description="The certificate's common name is the user; no password is asked for.",
    )

    @property
    def given(self) -> bool:
        return self.certificate is not None

    @property
    def supplied(self) -> bool:
        return self.certificate == SUPPLIED

    @property
    def clients_named(self) -> bool:
        return self.client_certificates == "required"

    @property
    def needs_own_ca(self) -> bool:
        return not self.given or (self.clients_named and self.client_ca is None)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        beside = (("key", self.key), ("ca", self.ca))
        if self.given and not self.supplied and self.key is None:
            raise refused("certificate", self.certificate, "has no key beside it; name 'key' too")
        for name, path in beside if self.certificate is None else ():
            if path is not None:
                raise refused(
                    name, path, "belongs to a certificate; name 'certificate' too, or leave it"
                )
        for name, path in beside if self.supplied else ():
            if path is not None:
                raise refused(name, path, "is in the secret beside a supplied certificate")
        return self

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.given and self.names:
            raise refused(
                "names",
                list(self.names),
                "are for a certificate of the stack's own CA; a given one has its own",
            )
        if self.given and "days" in self.model_fields_set:
            raise refused(
                "days",
                self.days,
                "is for a certificate of the stack's own CA; a given one ends when it says",
            )
        if not self.given and self.renew_before_days >= self.days:
            raise refused(
                "renewBeforeDays",
                self.renew_before_days,
                f"must be less than days ({self.days}): each `up` would make a new certificate",
            )
        return self

    @model_validator(mode="after")
    def _of_clients(self) -> Self:
        if self.clients_named:
            return self
        for key, value in (
            ("clientCa", self.client_ca),
            ("identityAsUsername", self.identity_as_username or None),
        ):
            if value is not None:
                raise refused(
                    key, value, "needs clientCertificates 'required': nobody else shows one"
                )
        return self
