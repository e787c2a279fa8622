"""Settings of TLS: the listener's certificate, and the certificates of its clients."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from broker.settings.base_model import FROM_LIST, AbsolutePath, SettingsModel, rule_error
from broker.settings.validators import check_absolute, check_address

EXTERNAL = "supplied"
"""In place of a path: key and certificate are in the secret ``certificates``."""


def _check_source(text: str) -> str:
    return text if text == EXTERNAL else check_absolute(text)


class Tls(SettingsModel):
    """A certificate of the stack's own CA, or the one in ``certificate`` and ``key``."""

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
            "From this many days before the certificate expires, an `up` creates a new "
            "one, or copies a given one with a warning."
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
        description="The certificate's common name is the user name; no password is required.",
    )

    @property
    def given(self) -> bool:
        """Whether the certificate comes from elsewhere than the stack's own CA."""
        return self.certificate is not None

    @property
    def external(self) -> bool:
        """Whether key and certificate are in the secret ``certificates``."""
        return self.certificate == EXTERNAL

    @property
    def requires_client_certificate(self) -> bool:
        return self.client_certificates == "required"

    @property
    def needs_own_ca(self) -> bool:
        return not self.given or (self.requires_client_certificate and self.client_ca is None)

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        files = (("key", self.key), ("ca", self.ca))
        if self.given and not self.external and self.key is None:
            raise rule_error("certificate", self.certificate, "has no key; set 'key', too")
        for name, path in files if self.certificate is None else ():
            if path is not None:
                raise rule_error(
                    name, path, "requires 'certificate'; set it, too, or remove this key"
                )
        for name, path in files if self.external else ():
            if path is not None:
                raise rule_error(
                    name, path, "must not be set: it is in the secret, next to the certificate"
                )
        return self

    @model_validator(mode="after")
    def _own_ca_or_given(self) -> Self:
        if self.given and self.names:
            raise rule_error(
                "names",
                list(self.names),
                "are for a certificate of the stack's own CA; a given one has its own names",
            )
        if self.given and "days" in self.model_fields_set:
            raise rule_error(
                "days",
                self.days,
                "is for a certificate of the stack's own CA; a given one has its own validity",
            )
        if not self.given and self.renew_before_days >= self.days:
            raise rule_error(
                "renewBeforeDays",
                self.renew_before_days,
                f"must be less than days ({self.days}): each `up` would make a new certificate",
            )
        return self

    @model_validator(mode="after")
    def _client_certificate_settings(self) -> Self:
        if self.requires_client_certificate:
            return self
        for key, value in (
            ("clientCa", self.client_ca),
            ("identityAsUsername", self.identity_as_username or None),
        ):
            if value is not None:
                raise rule_error(
                    key,
                    value,
                    "needs clientCertificates 'required': otherwise clients present none",
                )
        return self
